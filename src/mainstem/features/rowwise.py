"""Ibis' row-level operations as Python closures over one row, with DuckDB's semantics.

A closure takes a row (column → value; instants as int µs) and gives a value or None. Integers are int64 and refuse to
overflow, floats are float64 and never do; NaN equals itself and is greater than every number; AND and OR have three
values. `register` adds an operation; what is not registered raises `Unsupported` when it is compiled.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

Row = Mapping[str, Any]
Compute = Callable[[Row], Any]
Compiler = Callable[[Any], Compute]

COMPILERS: dict[type[ops.Node], Compiler] = {}
"""Operation → what makes its closure."""

MICROS: dict[str, int] = {
    "W": 604_800_000_000,
    "D": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_PARTS = {"second": "s", "s": "s", "minute": "m", "hour": "h", "h": "h", "day": "D", "d": "D"}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BLANKS = " \t\n\r\v\f"


class Unsupported(Exception):
    """An operation that has no closure; the engine computes it."""


def register(*operations: type[ops.Node]) -> Callable[[Compiler], Compiler]:
    """Let the decorated function compile these operations: it takes the operation and returns its closure."""

    def remember(compiler: Compiler) -> Compiler:
        COMPILERS.update(dict.fromkeys(operations, compiler))
        return compiler

    return remember


def compile_value(op: Any) -> Compute:
    """The closure of an operation tree. Raises `Unsupported`."""
    compiler = COMPILERS.get(type(op))
    if compiler is None:
        raise Unsupported(type(op).__name__)
    return compiler(op)


def kind(op: Any) -> str:
    """`int`, `float`, `bool`, `string`, `time`, `interval` or `null`. Raises `Unsupported` for any other type."""
    dtype = op.dtype
    if dtype.is_integer() and not isinstance(dtype, dt.UInt64):
        return "int"
    if dtype.is_timestamp() and dtype.timezone == "UTC":
        return "time"
    for name in ("floating", "boolean", "string", "interval", "null"):
        if getattr(dtype, f"is_{name}")():
            return {"floating": "float", "boolean": "bool"}.get(name, name)
    raise Unsupported(f"{type(op).__name__} of {dtype}")


def whole(value: int) -> int:
    """`value`, if it is an int64. Raises `OverflowError`."""
    if -(2**63) <= value < 2**63:
        return value
    raise OverflowError(f"{value} is out of the range of int64")


# ── leaves and casts ──────────────────────────────────────────────────────────────────────────────────


@register(ops.Field)
def _field(op: Any) -> Compute:
    kind(op)
    return operator.itemgetter(op.name)


@register(ops.Alias)
def _alias(op: Any) -> Compute:
    return compile_value(op.arg)


@register(ops.Literal)
def _literal(op: Any) -> Compute:
    value = _constant(op)
    return lambda row: value


def _constant(op: Any) -> Any:
    if op.value is None:
        return None
    match kind(op):
        case "time":
            return (op.value - _EPOCH) // timedelta(microseconds=1)
        case "interval":
            return op.value * _unit(op.dtype.unit.short)
        case "float":
            return float(op.value)
    return op.value


def _unit(short: str) -> int:
    if short not in MICROS:
        raise Unsupported(f"an interval in {short}")  # months and years have no fixed length
    return MICROS[short]


@register(ops.Cast)
def _cast(op: Any) -> Compute:
    arg, source, to = compile_value(op.arg), kind(op.arg), op.to
    target = kind(op)
    if isinstance(op.arg, ops.Literal) and target == "float" and op.arg.value is not None:
        value = _to_float(to)(float(op.arg.value))
        return lambda row: value
    if source == "null" or (source == target and source in ("bool", "string", "time")):
        return arg
    convert = _conversion(source, target, to)
    return _lift1(convert, arg)


def _conversion(source: str, target: str, to: dt.DataType) -> Callable[[Any], Any]:
    numeric = ("int", "float", "bool")
    if source in numeric and target == "bool":
        return lambda v: v != 0
    if source in numeric and target == "int":
        return _to_int(to)
    if source in numeric and target == "float":
        return _to_float(to)
    if source == "int" and target == "string":
        return str
    if source == "bool" and target == "string":
        return lambda v: "true" if v else "false"
    if (source, target) in (("float", "string"), ("string", "int"), ("string", "float"), ("string", "bool")):
        if source == "float":
            through = _by_engine("CAST(CAST(? AS DOUBLE) AS VARCHAR)")
            return lambda v: through(repr(v))
        return _by_engine(f"CAST(? AS {_SQL[type(to)]})")
    raise Unsupported(f"a cast of {source} to {to}")


_SQL = {
    dt.Int8: "TINYINT",
    dt.Int16: "SMALLINT",
    dt.Int32: "INTEGER",
    dt.Int64: "BIGINT",
    dt.UInt8: "UTINYINT",
    dt.UInt16: "USMALLINT",
    dt.UInt32: "UINTEGER",
    dt.Float32: "FLOAT",
    dt.Float64: "DOUBLE",
    dt.Boolean: "BOOLEAN",
    dt.String: "VARCHAR",
}


def _to_int(to: Any) -> Callable[[Any], int]:
    low, high = to.bounds

    def convert(value: Any) -> int:
        if value != value or value in (math.inf, -math.inf) or not low <= (whole_value := round(value)) <= high:
            raise OverflowError(f"{value} is out of the range of {to}")
        return int(whole_value)

    return convert


def _to_float(to: Any) -> Callable[[Any], float]:
    if not isinstance(to, dt.Float32):
        return float
    import numpy as np

    def convert(value: Any) -> float:
        with np.errstate(over="ignore"):
            narrow = float(np.float32(value))
        if math.isinf(narrow) and not math.isinf(value):
            raise OverflowError(f"{value} is out of the range of float32")
        return narrow

    return convert


@lru_cache
def _connection() -> Any:
    import duckdb

    return duckdb.connect()


def _by_engine(sql: str) -> Callable[[str], Any]:
    """One text through DuckDB: for rules too intricate to repeat, such as how it reads and prints a float."""
    query = f"SELECT {sql.replace('?', 'CAST(? AS VARCHAR)')}"

    @lru_cache(4096)
    def compute(value: str) -> Any:
        import duckdb

        try:
            return _connection().cursor().execute(query, [value]).fetchone()[0]
        except duckdb.Error as error:
            raise ValueError(str(error).split("\n")[0]) from None

    return compute


# ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────


def _lift1(function: Callable[[Any], Any], arg: Compute) -> Compute:
    def compute(row: Row) -> Any:
        value = arg(row)
        return None if value is None else function(value)

    return compute


def _lift2(function: Callable[[Any, Any], Any], left: Compute, right: Compute) -> Compute:
    def compute(row: Row) -> Any:
        a, b = left(row), right(row)
        return None if a is None or b is None else function(a, b)

    return compute


_ARITHMETIC: dict[type[ops.Node], Callable[[Any, Any], Any]] = {
    ops.Add: operator.add,
    ops.Subtract: operator.sub,
    ops.Multiply: operator.mul,
}


@register(*_ARITHMETIC)
def _arithmetic(op: Any) -> Compute:
    function = _ARITHMETIC[type(op)]
    sides = _numeric(op.left, op.right)
    if op.dtype.is_floating():
        return _lift2(function, *sides)
    return _lift2(lambda a, b: whole(function(a, b)), *sides)


def _numeric(*args: Any) -> list[Compute]:
    if any(kind(arg) not in ("int", "float") for arg in args):
        raise Unsupported(f"arithmetic of {', '.join(str(arg.dtype) for arg in args)}")
    return [compile_value(arg) for arg in args]


@register(ops.Divide)
def _divide(op: Any) -> Compute:
    return _lift2(_quotient, *_numeric(op.left, op.right))


def _quotient(a: Any, b: Any) -> float:
    a, b = float(a), float(b)
    if b:
        return float(a / b)
    return math.nan if a == 0 or a != a or b != b else math.copysign(math.inf, a) * math.copysign(1.0, b)


@register(ops.FloorDivide)
def _floor_divide(op: Any) -> Compute:
    return _lift2(lambda a, b: _integral(math.floor, _quotient(a, b)), *_numeric(op.left, op.right))


def _integral(function: Callable[[float], int], value: Any) -> int:
    """DuckDB rounds as a double, then casts to BIGINT; so do we, to lose the same digits."""
    value = float(value)
    if not math.isfinite(value):
        raise OverflowError(f"{value} is out of the range of int64")
    return whole(function(value))


@register(ops.Modulus)
def _modulus(op: Any) -> Compute:
    if op.dtype.is_floating():
        return _lift2(_float_remainder, *_numeric(op.left, op.right))
    return _lift2(_int_remainder, *_numeric(op.left, op.right))


def _int_remainder(a: int, b: int) -> int:
    if b == 0:
        raise ZeroDivisionError(f"{a} % 0")
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


def _float_remainder(a: Any, b: Any) -> float:
    try:
        return math.fmod(a, b)
    except ValueError:
        return math.nan


@register(ops.Power)
def _power(op: Any) -> Compute:
    return _lift2(_pow, *_numeric(op.left, op.right))


def _pow(a: Any, b: Any) -> float:
    a, b = float(a), float(b)
    odd = b % 2 == 1
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and odd else math.inf
    except ValueError:
        if a == 0:
            return math.copysign(math.inf, a) if odd else math.inf
        return math.nan


@register(ops.Negate)
def _negate(op: Any) -> Compute:
    return _lift1(operator.neg if kind(op.arg) == "float" else lambda v: whole(-v), *_numeric(op.arg))


@register(ops.Abs)
def _abs(op: Any) -> Compute:
    return _lift1(abs if kind(op.arg) == "float" else lambda v: whole(abs(v)), *_numeric(op.arg))


@register(ops.Floor, ops.Ceil)
def _floor(op: Any) -> Compute:
    function = math.floor if isinstance(op, ops.Floor) else math.ceil
    return _lift1(lambda v: _integral(function, v), *_numeric(op.arg))


@register(ops.Round)
def _round(op: Any) -> Compute:
    digits = op.digits
    if kind(op.arg) != "float" or not (digits is None or (isinstance(digits, ops.Literal) and digits.value >= 0)):
        raise Unsupported("Round of an integer, or to tens")
    if not digits or not digits.value:
        return _lift1(lambda v: _integral(int, _half_away(v)), *_numeric(op.arg))
    modifier = math.pow(10.0, digits.value)

    def to_digits(value: float) -> float:
        if not math.isfinite(value * modifier):
            return value
        return _half_away(value * modifier) / modifier

    return _lift1(to_digits, *_numeric(op.arg))


def _half_away(value: float) -> float:
    if not math.isfinite(value):
        return value
    lower = math.floor(abs(value))
    return math.copysign(lower + (abs(value) - lower >= 0.5), value)


def _logarithm(function: Callable[[float], float]) -> Callable[[Any], float]:
    def compute(value: Any) -> float:
        if value > 0 or value != value:
            return function(value)
        return -math.inf if value == 0 else math.nan

    return compute


def _exp(value: Any) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


_FUNCTIONS: dict[type[ops.Node], Callable[[Any], Any]] = {
    ops.Sqrt: lambda v: math.sqrt(v) if v >= 0 or v != v else math.nan,
    ops.Exp: _exp,
    ops.Ln: _logarithm(math.log),
    ops.Log2: _logarithm(math.log2),
    ops.Log10: _logarithm(math.log10),
}


@register(*_FUNCTIONS)
def _function(op: Any) -> Compute:
    function = _FUNCTIONS[type(op)]
    return _lift1(lambda v: function(float(v)), *_numeric(op.arg))


@register(ops.Log)
def _log(op: Any) -> Compute:
    if op.base is not None:
        raise Unsupported("Log to a base")
    return _lift1(lambda v: _FUNCTIONS[ops.Ln](float(v)), *_numeric(op.arg))


@register(ops.IsNan, ops.IsInf)
def _is_odd(op: Any) -> Compute:
    function = math.isnan if isinstance(op, ops.IsNan) else math.isinf
    return _lift1(function, *_numeric(op.arg))


# ── comparisons ───────────────────────────────────────────────────────────────────────────────────────

Comparison = Callable[[Any, Any], bool]


def _same(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


def _less(a: Any, b: Any) -> bool:
    """NaN is greater than every number."""
    if a != a:
        return False
    return bool(b != b or a < b)


_PLAIN: dict[type[ops.Node], Comparison] = {
    ops.Equals: operator.eq,
    ops.NotEquals: operator.ne,
    ops.Less: operator.lt,
    ops.LessEqual: operator.le,
    ops.Greater: operator.gt,
    ops.GreaterEqual: operator.ge,
}
_FLOATING: dict[type[ops.Node], Comparison] = {
    ops.Equals: _same,
    ops.NotEquals: lambda a, b: not _same(a, b),
    ops.Less: _less,
    ops.LessEqual: lambda a, b: not _less(b, a),
    ops.Greater: lambda a, b: _less(b, a),
    ops.GreaterEqual: lambda a, b: not _less(a, b),
}


def _common(args: Sequence[Any]) -> tuple[str, list[Compute]]:
    """The one kind that operands are compared in, and their closures brought to it."""
    kinds = {kind(arg) for arg in args} - {"null"}
    if kinds == {"int", "float"}:
        kinds = {"float"}
    if len(kinds) > 1:
        raise Unsupported(f"comparing {', '.join(sorted(kinds))}")
    common = kinds.pop() if kinds else "null"
    return common, [_as(common, arg) for arg in args]


def _as(target: str, op: Any) -> Compute:
    compute = compile_value(op)
    return _lift1(float, compute) if target == "float" and kind(op) == "int" else compute


def _comparison(op_type: type[ops.Node], common: str) -> Comparison:
    return (_FLOATING if common == "float" else _PLAIN)[op_type]


@register(*_PLAIN)
def _compare(op: Any) -> Compute:
    common, sides = _common((op.left, op.right))
    return _lift2(_comparison(type(op), common), *sides)


@register(ops.Between)
def _between(op: Any) -> Compute:
    common, (arg, low, high) = _common((op.arg, op.lower_bound, op.upper_bound))
    at_most = _comparison(ops.LessEqual, common)
    return _both(_lift2(at_most, low, arg), _lift2(at_most, arg, high))


@register(ops.InValues)
def _in(op: Any) -> Compute:
    if not op.options:
        return lambda row: False
    common, (arg, *options) = _common((op.value, *op.options))
    same = _comparison(ops.Equals, common)

    def compute(row: Row) -> bool | None:
        value = arg(row)
        if value is None:
            return None
        found = [option(row) for option in options]
        if any(option is not None and same(value, option) for option in found):
            return True
        return None if None in found else False

    return compute


@register(ops.IsNull, ops.NotNull)
def _is_null(op: Any) -> Compute:
    arg, expected = compile_value(op.arg), isinstance(op, ops.IsNull)
    return lambda row: (arg(row) is None) is expected


@register(ops.IdenticalTo)
def _identical(op: Any) -> Compute:
    common, (left, right) = _common((op.left, op.right))
    same = _comparison(ops.Equals, common)

    def compute(row: Row) -> bool:
        a, b = left(row), right(row)
        return a is b if a is None or b is None else same(a, b)

    return compute


# ── logic and choice ──────────────────────────────────────────────────────────────────────────────────


def _both(left: Compute, right: Compute) -> Compute:
    def compute(row: Row) -> bool | None:
        a = left(row)
        if a is False:
            return False
        b = right(row)
        return False if b is False else None if a is None or b is None else True

    return compute


def _either(left: Compute, right: Compute) -> Compute:
    def compute(row: Row) -> bool | None:
        a = left(row)
        if a is True:
            return True
        b = right(row)
        return True if b is True else None if a is None or b is None else False

    return compute


@register(ops.And, ops.Or)
def _logic(op: Any) -> Compute:
    join = _both if isinstance(op, ops.And) else _either
    return join(compile_value(op.left), compile_value(op.right))


@register(ops.Xor)
def _xor(op: Any) -> Compute:
    return _lift2(operator.ne, compile_value(op.left), compile_value(op.right))


@register(ops.Not)
def _not(op: Any) -> Compute:
    return _lift1(operator.not_, compile_value(op.arg))


@register(ops.Coalesce)
def _coalesce(op: Any) -> Compute:
    _, options = _common(op.arg)
    return lambda row: next((v for option in options if (v := option(row)) is not None), None)


@register(ops.NullIf)
def _null_if(op: Any) -> Compute:
    common, (arg, other) = _common((op.arg, op.null_if_expr))
    same, value = _comparison(ops.Equals, common), compile_value(op.arg)

    def compute(row: Row) -> Any:
        a, b = arg(row), other(row)
        return None if a is None or (b is not None and same(a, b)) else value(row)

    return compute


@register(ops.IfElse)
def _if_else(op: Any) -> Compute:
    return _choose([compile_value(op.bool_expr)], [op.true_expr], op.false_null_expr)


@register(ops.SearchedCase)
def _searched_case(op: Any) -> Compute:
    return _choose([compile_value(case) for case in op.cases], op.results, op.default)


@register(ops.SimpleCase)
def _simple_case(op: Any) -> Compute:
    common, (base, *cases) = _common((op.base, *op.cases))
    same = _comparison(ops.Equals, common)
    return _choose([_lift2(same, base, case) for case in cases], op.results, op.default)


def _choose(conditions: Sequence[Compute], results: Sequence[Any], default: Any) -> Compute:
    _, (otherwise, *values) = _common((default, *results))
    branches = list(zip(conditions, values, strict=True))

    def compute(row: Row) -> Any:
        for condition, value in branches:
            if condition(row):
                return value(row)
        return otherwise(row)

    return compute


@register(ops.Greatest, ops.Least)
def _extreme(op: Any) -> Compute:
    common, args = _common(op.arg)
    return _best(_comparison(ops.Greater if isinstance(op, ops.Greatest) else ops.Less, common), args)


def _best(better: Comparison, args: Sequence[Compute]) -> Compute:
    """Nulls are skipped."""

    def compute(row: Row) -> Any:
        best = None
        for arg in args:
            value = arg(row)
            if value is not None and (best is None or better(value, best)):
                best = value
        return best

    return compute


@register(ops.Clip)
def _clip(op: Any) -> Compute:
    bounds = [(bound, better) for bound, better in ((op.upper, ops.Less), (op.lower, ops.Greater)) if bound is not None]
    common, (arg, *limits) = _common((op.arg, *(bound for bound, _ in bounds)))
    clipped = arg
    for limit, (_, better) in zip(limits, bounds, strict=True):
        clipped = _best(_comparison(better, common), [clipped, limit])
    return lambda row: None if arg(row) is None else clipped(row)


# ── text ──────────────────────────────────────────────────────────────────────────────────────────────


def _texts(*args: Any) -> list[Compute]:
    if any(kind(arg) not in ("string", "null") for arg in args):
        raise Unsupported(f"text functions of {', '.join(str(arg.dtype) for arg in args)}")
    return [compile_value(arg) for arg in args]


@register(ops.Lowercase, ops.Uppercase)
def _change_case(op: Any) -> Compute:
    lower = isinstance(op, ops.Lowercase)
    plain = str.lower if lower else str.upper
    # Beyond ASCII, Python's case mapping (ß → SS) is not DuckDB's (ß → ẞ).
    other = _by_engine("lower(?)" if lower else "upper(?)")
    return _lift1(lambda v: plain(v) if v.isascii() else other(v), *_texts(op.arg))


@register(ops.StringLength)
def _length(op: Any) -> Compute:
    return _lift1(len, *_texts(op.arg))


_STRIPS: dict[type[ops.Node], Callable[[str, str], str]] = {
    ops.Strip: str.strip,
    ops.LStrip: str.lstrip,
    ops.RStrip: str.rstrip,
}


@register(*_STRIPS)
def _strip(op: Any) -> Compute:
    strip = _STRIPS[type(op)]
    return _lift1(lambda v: strip(v, _BLANKS), *_texts(op.arg))


@register(ops.StringContains)
def _contains(op: Any) -> Compute:
    return _lift2(operator.contains, *_texts(op.haystack, op.needle))


@register(ops.StartsWith)
def _starts(op: Any) -> Compute:
    return _lift2(str.startswith, *_texts(op.arg, op.start))


@register(ops.EndsWith)
def _ends(op: Any) -> Compute:
    return _lift2(str.endswith, *_texts(op.arg, op.end))


@register(ops.StringConcat)
def _concat(op: Any) -> Compute:
    parts = _texts(*op.arg)

    def compute(row: Row) -> str | None:
        values = [part(row) for part in parts]
        return None if None in values else "".join(values)

    return compute


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────


def _instants(*args: Any) -> list[Compute]:
    if any(kind(arg) != "time" for arg in args):
        raise Unsupported(f"time functions of {', '.join(str(arg.dtype) for arg in args)}")
    return [compile_value(arg) for arg in args]


_CLOCK: dict[type[ops.Node], Callable[[int], Any]] = {
    # as a double and half to even, for that is how EPOCH() is cast
    ops.ExtractEpochSeconds: lambda t: round(t / 1_000_000),
    ops.ExtractHour: lambda t: t // MICROS["h"] % 24,
    ops.ExtractMinute: lambda t: t // MICROS["m"] % 60,
    ops.ExtractSecond: lambda t: t // MICROS["s"] % 60,
    ops.DayOfWeekIndex: lambda t: (t // MICROS["D"] + 3) % 7,
    ops.DayOfWeekName: lambda t: _DAYS[(t // MICROS["D"] + 3) % 7],
    ops.ExtractDay: lambda t: _date(t).day,
    ops.ExtractMonth: lambda t: _date(t).month,
    ops.ExtractYear: lambda t: _date(t).year,
    ops.ExtractDayOfYear: lambda t: _date(t).timetuple().tm_yday,
}


def _date(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


@register(*_CLOCK)
def _clock(op: Any) -> Compute:
    return _lift1(_CLOCK[type(op)], *_instants(op.arg))


@register(ops.IntervalFromInteger)
def _interval(op: Any) -> Compute:
    unit = _unit(op.unit.short)
    return _lift1(lambda v: whole(v * unit), *_numeric(op.arg))


@register(ops.TimestampAdd, ops.TimestampSub)
def _shift(op: Any) -> Compute:
    function = operator.add if isinstance(op, ops.TimestampAdd) else operator.sub
    if kind(op.right) != "interval":
        raise Unsupported(f"{type(op).__name__} of {op.right.dtype}")
    (left,) = _instants(op.left)
    return _lift2(lambda a, b: whole(function(a, b)), left, compile_value(op.right))


@register(ops.TimestampDiff)
def _difference(op: Any) -> Compute:
    return _lift2(operator.sub, *_instants(op.left, op.right))


@register(ops.TimestampDelta)
def _delta(op: Any) -> Compute:
    """How many borders of the unit lie between two instants, which is what DATE_DIFF counts."""
    part = _PARTS.get(str(getattr(op.part, "value", "")).lower())
    if part is None:
        raise Unsupported(f"a difference in {op.part}")
    unit = MICROS[part]
    return _lift2(lambda a, b: a // unit - b // unit, *_instants(op.left, op.right))
