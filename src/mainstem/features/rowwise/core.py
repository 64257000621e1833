"""Common parts of row closures: types, the table of compilers, and the handling of nulls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from mainstem.graph.units import IBIS_UNITS

Row = Mapping[str, Any]
Compute = Callable[[Row], Any]
Compiler = Callable[[Any], Compute]

COMPILERS: dict[type[ops.Node], Compiler] = {}
"""Operation → the function that creates its closure."""


class Unsupported(Exception):
    """The operation has no closure. The engine computes it."""


def register(*operations: type[ops.Node]) -> Callable[[Compiler], Compiler]:
    """Register the decorated function for these operations. It takes the operation and returns its closure."""

    def remember(compiler: Compiler) -> Compiler:
        COMPILERS.update(dict.fromkeys(operations, compiler))
        return compiler

    return remember


def compile_value(op: Any) -> Compute:
    """Return the closure of an operation tree. Raises `Unsupported`."""
    compiler = COMPILERS.get(type(op))
    if compiler is None:
        raise Unsupported(type(op).__name__)
    return compiler(op)


def kind(op: Any) -> str:
    """Return `int`, `float`, `bool`, `string`, `time`, `interval`, `list` or `null`. Raises `Unsupported` for other
    types."""
    dtype = op.dtype
    if dtype.is_integer() and not isinstance(dtype, dt.UInt64):
        return "int"
    if dtype.is_timestamp() and dtype.timezone == "UTC":
        return "time"
    for name in ("floating", "boolean", "string", "interval", "array", "null"):
        if getattr(dtype, f"is_{name}")():
            return {"floating": "float", "boolean": "bool", "array": "list"}.get(name, name)
    raise Unsupported(f"{type(op).__name__} of {dtype}")


def whole(value: int) -> int | None:
    """Return `value` if it fits int64, else None."""
    return value if -(2**63) <= value < 2**63 else None


def lift1(function: Callable[[Any], Any], arg: Compute) -> Compute:
    def compute(row: Row) -> Any:
        value = arg(row)
        return None if value is None else function(value)

    return compute


def lift2(function: Callable[[Any, Any], Any], left: Compute, right: Compute) -> Compute:
    def compute(row: Row) -> Any:
        a, b = left(row), right(row)
        return None if a is None or b is None else function(a, b)

    return compute


def numeric(*args: Any) -> list[Compute]:
    if any(kind(arg) not in ("int", "float") for arg in args):
        raise Unsupported(f"arithmetic of {', '.join(str(arg.dtype) for arg in args)}")
    return [compile_value(arg) for arg in args]


def unit_of(short: str) -> int:
    if short not in IBIS_UNITS:
        raise Unsupported(f"an interval in {short}")  # months and years have no fixed length
    return IBIS_UNITS[short]


@lru_cache
def _connection() -> Any:
    from mainstem.engines.sealed import connect, seal

    return seal(connect())


def by_engine(sql: str) -> Callable[[str], Any]:
    """Evaluate one text by DuckDB, for rules that are too intricate to copy, such as parsing and printing floats."""
    query = f"SELECT {sql.replace('?', 'CAST(? AS VARCHAR)')}"

    @lru_cache(4096)
    def compute(value: str) -> Any:
        import duckdb

        try:
            return _connection().cursor().execute(query, [value]).fetchone()[0]
        except duckdb.Error as error:
            raise ValueError(str(error).split("\n")[0]) from None

    return compute


def both(left: Compute, right: Compute) -> Compute:
    """Return the AND of three-valued operands."""

    def compute(row: Row) -> bool | None:
        a = left(row)
        if a is False:
            return False
        b = right(row)
        return False if b is False else None if a is None or b is None else True

    return compute
