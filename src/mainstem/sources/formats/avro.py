"""Avro files: each becomes a Parquet file, with the types of its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.errors import MissingExtra, SourceError
from mainstem.nodes.files import Files
from mainstem.sources.formats.typed import ParquetFormat

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 50_000
"""The records that are in memory together."""


class AvroFormat(ParquetFormat):
    """Object container files. Records, maps and unions of several types become JSON text."""

    name: ClassVar[str] = "avro"
    suffixes: ClassVar[tuple[str, ...]] = ("avro",)

    def convert(self, source: Path, target: Path, node: Files, known: Mapping[str, str]) -> bool:
        import pyarrow.parquet as pq

        try:
            import fastavro
        except ImportError:
            raise MissingExtra.named("avro", "fastavro") from None
        try:
            with source.open("rb") as stream:
                reader = fastavro.reader(stream)
                schema = _schema(reader.writer_schema)
                with pq.ParquetWriter(target, schema) as writer:
                    for batch in _batches(reader, schema):
                        writer.write_batch(batch)
        except FileNotFoundError as error:
            raise SourceError("a file of the source no longer exists", where=str(source), hint="run again") from error
        except (OSError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError) as error:
            raise SourceError("an Avro file cannot be read", where=str(source), got=str(error)) from error
        return True


def _schema(found: Any) -> pa.Schema:
    import pyarrow as pa

    from mainstem.sources.avro import arrow_type

    if not isinstance(found, dict) or found.get("type") != "record":
        raise ValueError("its schema is not that of a record")
    return pa.schema([(field["name"], arrow_type(field["type"])) for field in found["fields"]])


def _batches(records: Iterator[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    from mainstem.sources.avro import told

    while some := list(islice(records, ROWS)):
        columns = [pa.array([told(row.get(f.name), f.type) for row in some], f.type) for f in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
