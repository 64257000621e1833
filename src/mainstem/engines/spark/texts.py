"""Numbers and instants as text on Spark, as the embedded engine writes them.

Java writes 1.23E7 and 1.0E-4, and leaves out the zone of an instant. The embedded engine writes 12300000.0, 0.0001 and
`+00`. From 1e16 on, and below 1e-4, both use an exponent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.spark.types import from_spark, identifier, to_sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_INSTANT = "CONCAT(CAST(_value AS STRING), '+00')"

_FRACTION = r"""GET(TRANSFORM(ARRAY(CAST(_value AS STRING)), s -> CASE
    WHEN s IN ('NaN', 'Infinity', '-Infinity') THEN LOWER(REPLACE(s, 'Infinity', 'inf'))
    WHEN NOT CONTAINS(s, 'E') THEN s
    WHEN CAST(SUBSTRING_INDEX(s, 'E', -1) AS INT) BETWEEN -4 AND 15
        THEN REGEXP_REPLACE(REGEXP_REPLACE(CAST(CAST(s AS DECIMAL(38, 20)) AS STRING), '0+$', ''), '[.]$', '.0')
    ELSE CONCAT(
        REGEXP_REPLACE(SUBSTRING_INDEX(s, 'E', 1), '[.]0$', ''),
        CASE WHEN CONTAINS(s, 'E-') THEN 'e-' ELSE 'e+' END,
        SUBSTRING(
            CONCAT('0', REPLACE(SUBSTRING_INDEX(s, 'E', -1), '-', '')),
            LEAST(2, LENGTH(REPLACE(SUBSTRING_INDEX(s, 'E', -1), '-', '')))))
END), 0)"""


def as_text(value: Any, dtype: dt.DataType) -> Any | None:
    """Return the text of a value as SQL, or None if Spark's own cast gives it."""
    if dtype.is_floating():
        return _filled(_FRACTION, value)
    if isinstance(dtype, dt.Timestamp) and dtype.timezone is not None:
        return _filled(_INSTANT, value)
    return None


def cast_to(rows: DataFrame, column: str, dtype: dt.DataType) -> str:
    """Return Spark's SQL that casts a column of rows to a type. Raises `EngineError`."""
    if dtype.is_string():
        text = as_text(sg.column(column, quoted=True), from_spark(rows.schema[column].dataType))
        if text is not None:
            return str(text.sql(dialect="spark"))
    return f"CAST({identifier(column)} AS {to_sql(dtype)})"


def _filled(template: str, value: Any) -> Any:
    def fill(node: sge.Expression) -> Any:
        return value.copy() if isinstance(node, sge.Column) and node.name == "_value" else node

    return sg.parse_one(template, dialect="spark").transform(fill)
