"""The relations of a session as Spark's tables: the files of a snapshot, and data that this process hands over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq

from mainstem.engines.spark.files import Files
from mainstem.engines.spark.texts import cast_to
from mainstem.engines.spark.types import computed, stored, to_spark
from mainstem.engines.spark.writing import FIELD_ID
from mainstem.ports import Scan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ID = b"PARQUET:field_id"


def read(spark: SparkSession, scan: Scan, shared: Files) -> DataFrame:
    """Return the rows of a snapshot, read by field id. A column that a file lacks is null.

    Spark reads a file only as its own types, or as slightly wider ones. A column whose type has changed is read as each
    file has it, and cast.
    """
    types = {each.name: ibis.dtype(each.type) for each in scan.fields}
    ids = {each.name: each.id for each in scan.fields}
    names = {name: _named(id) for name, id in ids.items()}
    if not scan.files:
        return _cast(spark.createDataFrame([], _by_id(types, ids)), types, names)
    shared.share(scan.files)
    alike: dict[tuple[dt.DataType, ...], list[str]] = defaultdict(list)
    for path in scan.files:
        found = _types(path)
        alike[tuple(found.get(id, stored(types[name])) for name, id in ids.items())].append(shared.url(path))
    parts = [
        _cast(spark.read.schema(_by_id(dict(zip(types, found, strict=True)), ids)).parquet(*paths), types, names)
        for found, paths in alike.items()
    ]
    return reduce(lambda a, b: a.unionAll(b), parts)


def handed_over(
    spark: SparkSession, data: pa.Table | pa.RecordBatchReader, directory: Path, shared: Files
) -> DataFrame:
    """Return data of this process as Spark's. It is written to `directory` as Parquet, batch by batch."""
    import pyspark.sql.types as pt

    names, types = data.schema.names, ibis.Schema.from_pyarrow(data.schema)
    arrow = ibis.schema({name: computed(types[name]) for name in names}).to_pyarrow()
    directory.mkdir(parents=True, exist_ok=True)
    place = directory / f"{uuid4().hex}.parquet"
    with pq.ParquetWriter(place, arrow) as writer:
        for batch in data.to_batches() if isinstance(data, pa.Table) else data:
            cast = [column.cast(type) for column, type in zip(batch.columns, arrow.types, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(cast, schema=arrow))
    shared.share([place])
    columns = [pt.StructField(name, to_spark(types[name])) for name in names]
    return spark.read.schema(pt.StructType(columns)).parquet(shared.url(place))


def _cast(rows: DataFrame, types: Mapping[str, dt.DataType], names: Mapping[str, str]) -> DataFrame:
    from pyspark.sql import functions as f

    casts = {name: f.expr(cast_to(rows, names[name], dtype)) for name, dtype in types.items()}
    return rows.select(*(column.alias(name, metadata={}) for name, column in casts.items()))


def _by_id(types: Mapping[str, dt.DataType], ids: Mapping[str, int]) -> Any:
    """Return Spark's schema of columns that are read by their ids. Their names are not those of any file: Spark 4.1
    takes the type of a column by its name where a file has it."""
    import pyspark.sql.types as pt

    return pt.StructType(
        [
            pt.StructField(_named(ids[name]), to_spark(stored(dtype)), True, {FIELD_ID: ids[name]})
            for name, dtype in types.items()
        ]
    )


def _named(id: int) -> str:
    return f"_field_{id}"


@lru_cache(maxsize=100_000)
def _types(path: str) -> dict[int, dt.DataType]:
    """Return the type of each field id of a file. A file of the lake never changes."""
    schema = pq.read_schema(path)
    types = ibis.Schema.from_pyarrow(pa.schema([each.remove_metadata() for each in schema]))
    return {
        int((each.metadata or {})[_ID]): _plain(types[each.name]) for each in schema if _ID in (each.metadata or {})
    }


def _plain(dtype: dt.DataType) -> dt.DataType:
    """Return the type without what Spark does not tell apart: other zones and units of instants, and nullability."""
    if isinstance(dtype, dt.Timestamp):
        return dt.Timestamp("UTC" if dtype.timezone else None, 6)
    return dtype(nullable=True)
