"""On-demand features: the closures say what DuckDB says, operation by operation."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import duckdb
import ibis
import ibis.expr.operations as ops
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ibis import _

from mainstem.errors import RequestError, SchemaError, UnknownName
from mainstem.features.rowwise import COMPILERS, Unsupported, compile_value, register
from mainstem.features.rowwise.on_demand import canonical, compile_on_demand, expressions

COLUMNS = {
    "a": "int64",
    "b": "int64",
    "i": "int32",
    "x": "float64",
    "y": "float64",
    "f": "float32",
    "p": "boolean",
    "q": "boolean",
    "s": "string",
    "r": "string",
    "t": "timestamp('UTC', 6)",
    "u": "timestamp('UTC', 6)",
    "l": "array<float64>",
    "m": "array<string>",
}
TABLE = ibis.table(COLUMNS, name="row")
HOUR = ibis.interval(hours=1)
NOON = ibis.timestamp("2013-07-01 12:00:00", timezone="UTC")

NUMERIC = {
    "add": _.a + _.b,
    "add narrow": _.i + 1,
    "add mixed": _.a + _.x,
    "add narrow float": _.f + _.a,
    "decimal literal": _.a * 0.1,
    "subtract": _.a - _.b,
    "multiply": _.a * _.b,
    "multiply floats": _.x * _.y,
    "two literals": _.a * 0 + (ibis.literal(2_000_000_000) + ibis.literal(2_000_000_000)),
    "divide": _.a / _.b,
    "divide floats": _.x / _.y,
    "floor divide": _.a // _.b,
    "floor divide floats": _.x // _.y,
    "modulus": _.a % _.b,
    "modulus floats": _.x % _.y,
    "negate": -_.a,
    "negate float": -_.x,
    "abs": _.a.abs(),
    "abs float": _.x.abs(),
    "floor": _.x.floor(),
    "floor of integer": _.a.floor(),
    "ceil": _.x.ceil(),
    "round": _.x.round(),
    "round digits": _.x.round(2),
    "round of a sum": (_.x + _.y).round() + 1,
    "round or zero": (_.x / _.y).round().fill_null(0),
    "floor of a quotient": (_.a / _.b).floor() * 2,
    "sum of remainders": _.a % _.b + _.b % _.a,
    "root of a difference": (_.x - _.y).sqrt().floor(),
    "log of a count": _.a.log().ceil(),
    "sqrt": _.x.sqrt(),
    "exp": _.x.exp(),
    "ln": _.x.ln(),
    "log": _.a.log(),
    "log2": _.x.log2(),
    "log10": _.x.log10(),
    "power": _.x**2,
    "power of both": _.x**_.y,
    "isnan": _.x.isnan(),
    "isinf": _.x.isinf(),
    "clip": _.x.clip(0, 1.5),
    "clip below": _.a.clip(lower=3),
    "clip by column": _.a.clip(_.b, _.i),
    "greatest": ibis.greatest(_.a, _.b, 3),
    "least": ibis.least(_.x, _.y, _.a),
}
LOGIC = {
    "equals": _.a == _.b,
    "equals mixed": _.a == _.x,
    "not equals": _.x != _.y,
    "less": _.x < _.y,
    "less or equal": _.x <= _.y,
    "greater": _.a > _.x,
    "greater or equal": _.x >= _.y,
    "text order": _.s < _.r,
    "and": _.p & _.q,
    "or": _.p | _.q,
    "xor": _.p ^ _.q,
    "not": ~_.p,
    "and of comparisons": (_.a > 3) & (_.x < 2) | _.q,
    "between": _.x.between(_.y, _.a),
    "between half open": _.a.between(1, ibis.null("int64")),
    "isnull": _.x.isnull(),
    "notnull": _.s.notnull(),
    "isin": _.a.isin([1, 2, 3]),
    "isin mixed": _.a.isin([1.5, 2]),
    "isin null": _.a.isin([1, None]),
    "isin columns": _.x.isin([_.y, 1.0]),
    "notin": _.s.notin(["a", "b"]),
    "isin nothing": _.a.isin([]),
    "identical": _.x.identical_to(_.y),
    "coalesce": ibis.coalesce(_.a, _.b, 7),
    "coalesce mixed": ibis.coalesce(_.i, _.x),
    "fill null": _.x.fill_null(0),
    "nullif": _.a.nullif(0),
    "nullif float": _.x.nullif(_.y),
    "nullif mixed": _.a.nullif(_.x),
    "ifelse": ibis.ifelse(_.a > 1, _.x, _.i),
    "ifelse literals": (_.x > 1).ifelse("far", "near"),
    "cases": ibis.cases((_.a > 5, 1), (_.x > 0, 2.5), else_=None),
    "simple case": _.a.cases((1, "x"), (2, "y"), else_="z"),
    "guarded": ibis.ifelse(_.b != 0, _.a % _.b, 0),
}
CASTS = {
    "float to int": _.x.cast("int64"),
    "power to int": (_.x**_.y).cast("int64"),
    "logarithm to int": _.x.ln().cast("int16"),
    "exponential to float32": _.x.exp().cast("float32").cast("int64"),
    "int to uint8": _.a.cast("uint8"),
    "float to int32": _.x.cast("int32"),
    "int to int8": _.a.cast("int8"),
    "int to float": _.a.cast("float64"),
    "float to float32": _.x.cast("float32"),
    "int to bool": _.a.cast("boolean"),
    "float to bool": _.x.cast("boolean"),
    "bool to int": _.p.cast("int64") + _.q.cast("int8"),
    "bool to string": _.p.cast("string"),
    "int to string": _.a.cast("string"),
    "float to string": _.x.cast("string"),
    "string to int": _.s.cast("int64"),
    "string to float": _.s.cast("float64"),
    "string to bool": _.s.cast("boolean"),
}
TEXT = {
    "lower": _.s.lower(),
    "upper": _.s.upper(),
    "length": _.s.length() * 2,
    "strip": _.s.strip(),
    "lstrip": _.s.lstrip(),
    "rstrip": _.s.rstrip(),
    "contains": _.s.contains(_.r),
    "startswith": _.s.startswith("a"),
    "endswith": _.s.endswith(_.r),
    "concat": _.s + "-" + _.r,
}
TIME = {
    "epoch": _.t.epoch_seconds(),
    "epoch arithmetic": _.t.epoch_seconds() % 86_400,
    "hour": _.t.hour(),
    "minute": _.t.minute(),
    "second": _.t.second(),
    "day": _.t.day(),
    "month": _.t.month(),
    "year": _.t.year(),
    "day of year": _.t.day_of_year(),
    "day of week": _.t.day_of_week.index(),
    "day of week name": _.t.day_of_week.full_name(),
    "add interval": _.t + HOUR,
    "subtract interval": _.t - ibis.interval(days=3),
    "add column": _.t + _.i.as_interval("s"),
    "subtract days": _.t - _.i.as_interval("D"),
    "difference": (_.t - _.u) > ibis.interval(seconds=3_600),
    "delta seconds": _.t.delta(_.u, unit="second"),
    "delta hours": _.t.delta(_.u, unit="hour"),
    "delta days": _.t.delta(_.u, unit="day"),
    "compare": _.t > NOON,
    "between": _.t.between(NOON, _.u),
    "latest": ibis.greatest(_.t, _.u),
    "fill": _.t.fill_null(NOON),
}
LISTS = {
    "length": _.l.length(),
    "length or none": _.m.length().fill_null(0),
    "first": _.l[0],
    "third": _.m[2],
    "last": _.l[-1],
    "last but one": _.m[-2],
    "at a column": _.l[_.i],
    "at an expression": _.m[_.a - 2],
    "of an item": _.l[0] - _.l[1] > 1.5,
    "there": _.l.notnull(),
}
GROUPS = {"numeric": NUMERIC, "logic": LOGIC, "cast": CASTS, "text": TEXT, "time": TIME, "list": LISTS}
ALL = {f"{group}: {name}": value for group, cases in GROUPS.items() for name, value in cases.items()}

integers = st.one_of(st.integers(-9, 9), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**53 + 1, -(2**63)]))
floats = st.one_of(
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, math.nan, math.inf, -math.inf, 1e308, 0.49999999999999994]),
    st.integers(-9, 9).map(float),
    st.floats(-1e6, 1e6),
    st.floats(),
)
texts = st.one_of(
    st.sampled_from(
        ["", "a", "ab ", "\t1\n", "12", "-3.5", "1e3", "true", "f", "ß", "Ǆ", "İ", "e\u0301", "👍🏽", "\u00a0x"]
    ),
    st.text("aAbBéß \t", max_size=4),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=4),
)
instants = st.one_of(
    st.integers(-3_000_000_000_000_000, 3_000_000_000_000_000),
    st.integers(-9, 9).map(lambda n: n * 1_800_000_000),
)
STRATEGIES = {
    **dict.fromkeys(("a", "b"), st.none() | integers),
    "i": st.none() | st.integers(-(2**31), 2**31 - 1),
    **dict.fromkeys(("x", "y"), st.none() | floats),
    "f": st.none() | st.floats(width=32),
    **dict.fromkeys(("p", "q"), st.none() | st.booleans()),
    **dict.fromkeys(("s", "r"), st.none() | texts),
    **dict.fromkeys(("t", "u"), st.none() | instants),
    "l": st.none() | st.lists(st.none() | floats, max_size=3),
    "m": st.none() | st.lists(st.none() | texts, max_size=3),
}

LEAP, SPRING, AUTUMN = 951_782_400_000_000, 1_362_898_800_000_000, 1_383_458_400_000_000
"""29 February 2000, and when clocks in New York changed in 2013; µs."""
EDGES: dict[str, list[Any]] = {
    **{name: [None, 0, 1, -1, 7, 2**63 - 1, -(2**63)] for name in "ab"},
    "i": [None, 0, -1, 3, 2**31 - 1, -(2**31)],
    **{name: [None, 0.0, -0.0, 1.5, -2.5, 1e308, 5e-324, math.nan, math.inf, -math.inf] for name in "xy"},
    "f": [None, 0.0, -1.5, math.nan, math.inf, -math.inf],
    **{name: [None, True, False] for name in "pq"},
    **{name: [None, "", "a", " A\t", "-3.5", "nan", "ß", "İ", "e\u0301", "👍🏽", "\u00a0", "\x00"] for name in "sr"},
    **{name: [None, 0, -1, LEAP - 1, LEAP, SPRING - 1, SPRING, AUTUMN, -(10**16), 10**17] for name in "tu"},
    "l": [None, [], [None], [1.0], [math.nan, -math.inf, 2.5]],
    "m": [None, [], [None, "ß"], ["a", "", "👍🏽"]],
}


def read_by(value: Any) -> list[str]:
    return sorted({field.name for field in value.resolve(TABLE).op().find(ops.Field)})


def samples(value: Any) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows that vary in the columns the expression reads, and are null elsewhere."""
    row = st.fixed_dictionaries({name: STRATEGIES[name] for name in read_by(value)})
    return st.lists(row.map(lambda values: dict.fromkeys(COLUMNS) | values), min_size=1, max_size=20)


def edges(value: Any) -> list[dict[str, Any]]:
    """A row for each combination of the edges of what the expression reads."""
    names = read_by(value)
    return [dict.fromkeys(COLUMNS) | dict(zip(names, row, strict=True)) for row in product(*(EDGES[n] for n in names))]


class Oracle:
    """DuckDB itself, one query per expression over many rows, or per row where a row makes it fail."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        self.sql = {
            name: ibis.to_sql(TABLE.select(expressions({"v": value}, TABLE)["v"]), dialect="duckdb")
            for name, value in ALL.items()
        }

    def __call__(self, name: str, rows: list[dict[str, Any]]) -> list[Any]:
        try:
            return self.together(name, rows)
        except duckdb.Error:
            return [RequestError] if len(rows) == 1 else [v for row in rows for v in self(name, [row])]

    def together(self, name: str, rows: list[dict[str, Any]]) -> list[Any]:
        schema = ibis.schema(COLUMNS).to_pyarrow()
        arrays = [pa.array([row[f.name] for row in rows], type=f.type) for f in schema]
        cursor = self.connection.cursor()
        cursor.register("row", pa.table(arrays, schema=schema))
        found = cursor.sql(self.sql[name]).to_arrow_table()["v"]
        return (found.cast(pa.int64()) if pa.types.is_timestamp(found.type) else found).to_pylist()


@pytest.fixture(scope="module")
def duck() -> Oracle:
    return Oracle()


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, float) and isinstance(ours, float):
        return (ours != ours and theirs != theirs) or ours == theirs or math.isclose(ours, theirs, rel_tol=1e-12)
    return (type(ours) is type(theirs) and ours == theirs) or ours is theirs


@pytest.mark.parametrize("name", ALL)
def test_a_closure_says_what_duckdb_says(name: str, duck: Oracle) -> None:
    """On rows that Hypothesis makes, and on all combinations of nulls, NaN, infinities, extremes, odd texts, leap days
    and changes of the clock."""
    function = compile_on_demand({"v": ALL[name]}, COLUMNS)
    assert function.fallbacks == {}

    @settings(max_examples=25, deadline=None, database=None)
    @given(samples(ALL[name]))
    @example(edges(ALL[name]))
    def compare(sample: list[dict[str, Any]]) -> None:
        for row, theirs in zip(sample, duck(name, sample), strict=True):
            try:
                ours = function(row)["v"]
            except RequestError:
                ours = RequestError
            assert same(ours, theirs), (row, ours, theirs)

    compare()


def test_every_operation_that_has_a_closure_is_compared_with_duckdb() -> None:
    """An operation that is registered and stands in none of the cases above fails here."""
    compared = {type(op) for v in ALL.values() for op in canonical({"v": v}, TABLE)["v"].op().find(ops.Value)}
    assert [operation.__name__ for operation in COMPILERS if operation not in compared] == []


def test_every_kind_of_column_has_edges_and_a_strategy() -> None:
    assert EDGES.keys() == STRATEGIES.keys() == COLUMNS.keys()
    assert {name for value in ALL.values() for name in read_by(value)} == COLUMNS.keys()


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("cast: string to")])
def test_the_engine_refuses_no_row(name: str, duck: Oracle) -> None:
    """One query over all edges: NaN, infinities, overflows, zero divisors. A text that is no number is refused."""
    assert RequestError not in duck.together(name, edges(ALL[name]))


def test_the_smallest_integer_has_no_quotient_by_minus_one(duck: Oracle) -> None:
    row = dict.fromkeys(COLUMNS) | {"a": -(2**63), "b": -1}
    assert duck("numeric: modulus", [row]) == [None]
    assert compile_on_demand({"v": ALL["numeric: modulus"]}, COLUMNS)(row) == {"v": None}


ROW: dict[str, Any] = {
    **dict.fromkeys(COLUMNS),
    "a": 7,
    "x": 2.5,
    "s": "JFK",
    "t": int(datetime(2013, 7, 1, 12, tzinfo=UTC).timestamp() * 1e6),
}


def test_an_operation_without_a_closure_falls_back_to_duckdb_and_says_so() -> None:
    function = compile_on_demand({"month": _.t.truncate("M"), "busy": _.a > 5, "kennedy": _.s.re_search("^J")}, COLUMNS)
    assert function.fallbacks == {"month": "TimestampTruncate", "kennedy": "RegexSearch"}
    july = int(datetime(2013, 7, 1, tzinfo=UTC).timestamp() * 1e6)
    assert function(ROW) == {"month": july, "busy": True, "kennedy": True}
    assert function.batch({name: [value, value] for name, value in ROW.items()}) == {
        "month": [july, july],
        "busy": [True, True],
        "kennedy": [True, True],
    }


def test_batch_is_the_rows_one_by_one() -> None:
    function = compile_on_demand({"v": _.a + 1, "w": _.x.fill_null(0.0)}, {"a": "int64", "x": "float64"})
    assert function.batch({"a": [1, None], "x": [None, 2.0]}) == {"v": [2, None], "w": [0.0, 2.0]}


@pytest.mark.parametrize(
    ("value", "row"),
    [
        (_.a * 2, {"a": 2**62}),
        (_.a % _.b, {"a": 5, "b": 0}),
        (_.x.round(), {"x": math.nan}),
        (_.x.cast("int64"), {"x": 1e300}),
        (_.x.cast("float32"), {"x": 1e300}),
        ((_.x - 1).sqrt().floor(), {"x": 0.0}),
    ],
)
def test_a_result_that_does_not_exist_is_null(value: Any, row: dict[str, Any]) -> None:
    assert compile_on_demand({"v": value}, COLUMNS)(dict.fromkeys(COLUMNS) | row) == {"v": None}


def test_a_text_that_is_no_number_is_a_request_error_that_names_the_feature() -> None:
    function = compile_on_demand({"v": _.s.cast("int64")}, {"s": "string"})
    with pytest.raises(RequestError, match="'v' cannot be computed"):
        function({"s": "x"})


def test_what_only_the_engine_computes_is_null_too() -> None:
    function = compile_on_demand({"v": _.t.truncate("M") + _.a.as_interval("D"), "w": _.a << 62}, COLUMNS)
    assert function.fallbacks.keys() == {"v", "w"}
    assert function({**ROW, "a": 2**50}) == {"v": None, "w": None}


def test_an_unknown_column_is_named_with_close_matches() -> None:
    with pytest.raises(UnknownName, match="did you mean 'delay'"):
        compile_on_demand({"v": _.dealy > 1}, {"delay": "float64"})


def test_a_reduction_is_refused() -> None:
    with pytest.raises(SchemaError, match="not a function of one row"):
        compile_on_demand({"v": _.a - _.a.mean()}, {"a": "int64"})


def test_an_interval_of_months_has_no_closure() -> None:
    function = compile_on_demand({"v": _.t + ibis.interval(months=1)}, COLUMNS)
    assert "v" in function.fallbacks
    august = datetime(2013, 8, 1, 12, tzinfo=UTC)
    assert function(ROW)["v"] == (august - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_an_operation_is_added_by_register() -> None:
    with pytest.raises(Unsupported):
        compile_value(TABLE.s.reverse().op())
    try:

        @register(ops.Reverse)
        def reverse(op: Any) -> Any:
            arg = compile_value(op.arg)
            return lambda row: arg(row)[::-1]

        assert compile_on_demand({"v": _.s.reverse()}, COLUMNS)(ROW) == {"v": "KFJ"}
    finally:
        COMPILERS.pop(ops.Reverse)
