"""Spark's write of Parquet files with field ids, and the files that it left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import ibis
import pyarrow.parquet as pq

from mainstem.engines.spark.files import Files
from mainstem.engines.spark.texts import cast_to
from mainstem.engines.spark.types import identifier, stored
from mainstem.errors import EngineError, close_matches
from mainstem.ports import DataFile, Partition, Target

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PART = "_part"
FIELD_ID = "parquet.field.id"


def written(rows: DataFrame, target: Target, shared: Files) -> tuple[DataFile, ...]:
    """Write the rows in the target's columns, types and field ids. Return the files that have rows.

    The tasks write into a directory beside the target's files. Each file is moved when the write is complete.
    """
    from pyspark.sql import functions as f

    directory = Path(target.directory)
    aside = directory / f"_writing-{uuid4().hex}"
    _require(rows, target)
    types = {field.name: stored(ibis.dtype(field.type)) for field in target.fields}
    columns = [
        f.expr(cast_to(rows, field.name, types[field.name])).alias(field.name, metadata={FIELD_ID: field.id})
        for field in target.fields
    ]
    chosen = rows.select(*columns)
    if target.partition:
        hashed = f.xxhash64(*(f.expr(_part(each)) for each in target.partition))
        chosen = chosen.withColumn(_PART, hashed).repartition(_PART)
    writer = chosen.write.option("maxRecordsPerFile", 0)
    if target.partition:
        writer = writer.partitionBy(_PART)
    try:
        writer.parquet(shared.url(aside))
        return tuple(_taken(aside, directory, shared))
    finally:
        shared.drop(aside)


def _taken(aside: Path, directory: Path, shared: Files) -> list[DataFile]:
    name = uuid4().hex
    found = []
    for number, path in enumerate(shared.parts(aside)):
        if rows := pq.read_metadata(path).num_rows:
            place = directory / f"{name}-{number}.parquet"
            shared.move(path, place)
            found.append(DataFile(str(place), rows))
    return found


def _require(rows: DataFrame, target: Target) -> None:
    names = {name.lower() for name in rows.columns}
    for field in target.fields:
        if field.name.lower() not in names:
            raise EngineError(
                f"the query lacks the column {field.name!r}",
                got=", ".join(rows.columns),
                expected=", ".join(each.name for each in target.fields),
                hint=close_matches(field.name, rows.columns),
            )


def _part(part: Partition) -> str:
    value = identifier(part.column)
    return value if part.unit == "value" else f"date_trunc('{part.unit}', {value})"
