"""On-demand features: one Ibis expression, run by the engine offline and as a Python closure online.

Both sides evaluate the same canonical tree, the engine with the guards of `total`. Integers are cast to int64 and
floats to float64 on reading, because DuckDB's types depend on how a literal is written (`1` has the type of the other
operand, `3.5` is a decimal).
Operations without a closure (`rowwise.COMPILERS`) are computed by DuckDB online too, which takes a millisecond or more.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from mainstem.errors import RequestError, SchemaError
from mainstem.features.rowwise import Compute, Row, Unsupported, compile_value, kind
from mainstem.graph.named import named
from mainstem.graph.purity import is_pure
from mainstem.logs.records import to_arrow
from mainstem.nodes.base import Deferred
from mainstem.nodes.expressions import resolve_column
from mainstem.tables.total import total

if TYPE_CHECKING:
    import pyarrow as pa


def expressions(features: Mapping[str, Deferred], table: ibis.Table) -> dict[str, ibis.Value]:
    """Return the on-demand features as Ibis values over `table`, for a query over many rows by the engine.

    Raises `UnknownName` and `SchemaError` as `resolve_column` does.
    """
    return {name: total(value) for name, value in canonical(features, table).items()}


def canonical(features: Mapping[str, Deferred], table: ibis.Table) -> dict[str, ibis.Value]:
    """Return the on-demand features as canonical Ibis values over `table`: for a `RowFunction` and for fingerprints.

    Raises `UnknownName` and `SchemaError` as `resolve_column` does.
    """
    return {name: _expression(name, value, table) for name, value in features.items()}


def compile_on_demand(features: Mapping[str, Deferred], columns: Mapping[str, str]) -> RowFunction:
    """Return the features as a function of one row. `columns` maps the readable columns to Ibis types."""
    return RowFunction(canonical(features, ibis.table(dict(columns), name="row")), columns)


class RowFunction:
    """On-demand features of one row: column → value in, feature → value out. Instants are int µs.

    `fallbacks` maps features without a closure to the operation that has none.
    """

    def __init__(self, values: Mapping[str, ibis.Value], columns: Mapping[str, str]) -> None:
        self.columns = dict(columns)
        self.names = tuple(values)
        self.types = {name: str(value.type()) for name, value in values.items()}
        self.fallbacks: dict[str, str] = {}
        self._computes: dict[str, Compute] = {}
        self._plain: dict[str, str] = {}
        for name, value in values.items():
            try:
                self._computes[name] = compile_value(value.op())
            except Unsupported as reason:
                self.fallbacks[name] = str(reason)
            if (column := _plain_column(value.op())) is not None:
                self._plain[name] = column
        self._slow = {name: total(values[name]) for name in self.fallbacks}

    @cached_property
    def _engine(self) -> _Engine | None:
        return _Engine(self._slow, self.columns) if self._slow else None

    def __call__(self, row: Row) -> dict[str, Any]:
        """Return the features of a row. Raises `RequestError` if DuckDB would fail: a text that is not of a type."""
        found = {name: _guarded(name, compute, row) for name, compute in self._computes.items()}
        if self._engine is None:
            return found
        found |= {name: values[0] for name, values in self._engine({c: [row[c]] for c in self.columns}).items()}
        return {name: found[name] for name in self.names}

    def batch(self, columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the features of many rows, with rows and features as columns of equal length."""
        found = {name: columns[column] for name, column in self._plain.items()}
        computes = {name: compute for name, compute in self._computes.items() if name not in found}
        if computes:
            names = [name for name in self.columns if name in columns]
            rows = [dict(zip(names, row, strict=True)) for row in zip(*(columns[n] for n in names), strict=True)]
            found |= {n: [_guarded(n, compute, row) for row in rows] for n, compute in computes.items()}
        if self._engine is not None:
            found |= self._engine(columns)
        return {name: found[name] for name in self.names}


def _plain_column(op: Any) -> str | None:
    """Return the column that a value reads unchanged, or None. Online, integers and floats have their widest type
    anyway."""
    if isinstance(op, ops.Cast) and op.to in (dt.int64, dt.float64) and kind(op.arg) == kind(op):
        op = op.arg
    return op.name if isinstance(op, ops.Field) else None


def _guarded(name: str, compute: Compute, row: Row) -> Any:
    try:
        return compute(row)
    except (ArithmeticError, ValueError) as error:
        raise RequestError(f"the on-demand feature {name!r} cannot be computed", got=str(error)) from None


# ── the canonical tree ────────────────────────────────────────────────────────────────────────────────

_NOT_OF_ONE_ROW = (ops.Reduction, ops.Analytic, ops.WindowFunction, ops.Subquery, ops.Impure)


def _expression(name: str, value: Deferred, table: ibis.Table) -> ibis.Value:
    raw = resolve_column(table, value, where=f"on-demand feature {name!r}").op()
    _of_one_row(name, raw)
    try:
        op = _canonical(raw)
        compile_value(op)
    except Unsupported:
        op = _wide(raw)
    found: ibis.Value = op.to_expr().name(name)
    return found


def _of_one_row(name: str, op: Any) -> None:
    if isinstance(op, _NOT_OF_ONE_ROW) and not is_pure(op):
        raise SchemaError(
            f"the on-demand feature {name!r} is not a function of one row",
            got=type(op).__name__,
            expected="an expression of one row's values",
            hint="declare reductions in a feature view",
        )
    for child in _children(op):
        _of_one_row(name, child)


def _children(op: Any) -> list[Any]:
    flat = [part for arg in op.args for part in (arg if isinstance(arg, tuple) else (arg,))]
    return [part for part in flat if isinstance(part, ops.Value)]


def _canonical(op: Any) -> Any:
    if isinstance(op, ops.Literal):
        return _canonical_literal(op)
    if isinstance(op, ops.Field):
        return _wide(op)
    changed = {n: arg if _as_written(n, arg) else _map(arg) for n, arg in zip(op.argnames, op.args, strict=True)}
    return _wide(type(op)(**changed))


def _as_written(name: str, arg: Any) -> bool:
    """Return whether SQL requires an argument as it is written."""
    return name in ("digits", "part") or (name == "index" and isinstance(arg, ops.Literal))


def _map(arg: Any) -> Any:
    if isinstance(arg, tuple):
        return tuple(map(_map, arg))
    return _canonical(arg) if isinstance(arg, ops.Value) else arg


def _canonical_literal(op: Any) -> Any:
    if op.value is None or not op.dtype.is_floating():
        return _wide(op)
    return ops.Cast(ops.Literal(repr(float(op.value)), dt.string), dt.float64)


def _wide(op: Any) -> Any:
    if op.dtype.is_integer() and not isinstance(op.dtype, (dt.Int64, dt.UInt64)):
        return ops.Cast(op, dt.int64)
    return ops.Cast(op, dt.float64) if isinstance(op.dtype, dt.Float32) else op


# ── the fallback ──────────────────────────────────────────────────────────────────────────────────────


class _Engine:
    """The features without a closure, computed through their own DuckDB connection."""

    def __init__(self, values: Mapping[str, ibis.Value], columns: Mapping[str, str]) -> None:
        table = ibis.table(dict(columns), name="row")
        self._sql = str(ibis.to_sql(table.select(*named(values)), dialect="duckdb"))
        self._types = ibis.schema(dict(columns))
        self._connection: Any = None

    def __call__(self, columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        import duckdb
        import pyarrow as pa

        from mainstem.engines.sealed import connect, seal

        if self._connection is None:
            self._connection = seal(connect())
        cursor = self._connection.cursor()
        schema = self._types.to_pyarrow()
        arrays = [to_arrow(columns[field.name], field.type) for field in schema]
        cursor.register("row", pa.table(arrays, schema=schema))
        try:
            found = cursor.sql(self._sql).to_arrow_table()
        except duckdb.Error as error:
            raise RequestError("an on-demand feature cannot be computed", got=str(error).split("\n")[0]) from None
        finally:
            cursor.close()
        return {name: _plain(found[name]) for name in found.column_names}


def _plain(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    values: list[Any] = column.to_pylist()
    return [v and v.isoformat() for v in values] if pa.types.is_date(column.type) else values
