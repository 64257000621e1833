"""Ibis' compiler to Spark SQL, with the meanings that the embedded engine has."""

from __future__ import annotations

from functools import cache
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.queries import with_inputs, with_values
from mainstem.engines.spark.queries import meant
from mainstem.engines.spark.texts import as_text
from mainstem.engines.spark.types import to_sql


@cache
def compiler() -> Any:
    """Return the compiler. Ibis' own takes NaN for null, and counts null where no row fulfils a condition."""
    import ibis
    from ibis.backends.sql.compilers.base import NULL, STAR
    from ibis.backends.sql.compilers.pyspark import PySparkCompiler
    from ibis.backends.sql.datatypes import PySparkType
    from ibis.backends.sql.rewrites import lower_sample

    class Types(PySparkType):  # type: ignore[misc]
        @classmethod
        def from_ibis(cls, dtype: dt.DataType) -> Any:
            return sge.DataType.build(to_sql(dtype), dialect="spark")

    class Compiler(PySparkCompiler):  # type: ignore[misc]
        __slots__ = ()
        type_mapper = Types
        LOWERED_OPS = {ops.Sample: lower_sample()}  # noqa: RUF012 - as Ibis declares it

        def visit_SqlQuery(self, op: Any, *, inputs: Any, names: Any, query: str, schema: Any) -> Any:
            return with_inputs(meant(query), names, inputs)

        def visit_SqlValue(self, op: Any, *, columns: Any, names: Any, text: str) -> Any:
            return with_values(meant(text), names, columns)

        def visit_Sample(self, op: Any, *, parent: Any, fraction: float, method: str, seed: Any, **_: Any) -> Any:
            """Return the rows that a random number of each chooses. Ibis refuses a seed on Spark."""
            chance = self.f.rand() if seed is None else self.f.rand(seed)
            return sg.select(STAR).from_(parent).where(chance < fraction)

        def visit_IsNull(self, op: Any, *, arg: Any) -> Any:
            return arg.is_(NULL)

        def visit_NotNull(self, op: Any, *, arg: Any) -> Any:
            return arg.is_(sg.not_(NULL))

        def visit_Cast(self, op: Any, *, arg: Any, to: dt.DataType) -> Any:
            text = as_text(arg, op.arg.dtype) if to.is_string() else None
            return super().visit_Cast(op, arg=arg, to=to) if text is None else text

        def visit_ScalarUDF(self, op: Any, **given: Any) -> Any:
            """Fail with a text as DuckDB's `error` does."""
            if self.__sql_name__(op) != "error":
                return super().visit_ScalarUDF(op, **given)
            (text,) = given.values()
            return self.cast(self.f.raise_error(text), op.dtype)

        def visit_Least(self, op: Any, *, arg: Any) -> Any:
            return self.f.least(*arg) if len(arg) > 1 else arg[0]

        def visit_Greatest(self, op: Any, *, arg: Any) -> Any:
            return self.f.greatest(*arg) if len(arg) > 1 else arg[0]

        def visit_ArrayIndex(self, op: Any, *, arg: Any, index: Any) -> Any:
            """Index from 0, or from the end if negative. A place beyond the list is null."""
            place = self.cast(index, dt.int32)
            if isinstance(op.index, ops.Literal):
                return self.f.get(arg, place if op.index.value >= 0 else self.f.size(arg) + place)
            return self.f.get(arg, self.if_(place < 0, self.f.size(arg) + place, place))

        def visit_ArraySlice(self, op: Any, *, arg: Any, start: Any, stop: Any) -> Any:
            return super().visit_ArraySlice(
                op, arg=arg, start=self.cast(start, dt.int32), stop=None if stop is None else self.cast(stop, dt.int32)
            )

        def visit_Mean(self, op: Any, *, arg: Any, where: Any) -> Any:
            """Return a mean of fractions: of decimals, Spark keeps few digits."""
            if not op.arg.dtype.is_decimal():
                return super().visit_Mean(op, arg=arg, where=where)
            return self.cast(self.agg.avg(self.cast(arg, dt.float64), where=where), op.dtype)

        def visit_CountStar(self, op: Any, *, arg: Any, where: Any) -> Any:
            return self.f.count("*") if where is None else self.f.count_if(where)

    _ = ibis.pyspark  # its import registers the options that the compiler looks at
    return Compiler()
