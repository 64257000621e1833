"""The formats of files that sinks write: Parquet, CSV and JSON lines, the latter two also compressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.nodes.files import Files
from mainstem.sources.sinks.databases.values import flat, flat_schema

if TYPE_CHECKING:
    import pyarrow as pa

PACKED = {".gz": "gzip", ".zst": "zstd"}
"""The compression that the end of a name tells."""


def write(file: Path, name: str, node: Files, rows: pa.RecordBatchReader) -> int:
    """Write rows to a file on this machine, in the format of the target `node`; the end of `name` tells its
    compression. Return how many there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if node.format == "parquet":
        with pq.ParquetWriter(file, rows.schema, compression="zstd") as writer:
            return _each(rows, writer.write_batch)
    packed = next((codec for suffix, codec in PACKED.items() if name.endswith(suffix)), None)
    with pa.output_stream(file, compression=packed) as stream:
        return _csv(stream, node, rows) if node.format == "csv" else _each(rows, lambda each: _lines(stream, each))


def _each(rows: Any, take: Any) -> int:
    counted = 0
    for batch in rows:
        counted += batch.num_rows
        take(batch)
    return counted


def _csv(stream: Any, node: Files, rows: pa.RecordBatchReader) -> int:
    from pyarrow import csv

    options = csv.WriteOptions(delimiter=node.options.get("delim", ","))
    schema = _texts(flat_schema(rows.schema))
    with csv.CSVWriter(stream, schema, write_options=options) as writer:
        return _each(rows, lambda batch: writer.write_batch(_hex(flat(batch), schema)))


def _texts(schema: pa.Schema) -> pa.Schema:
    """Return a schema whose bytes are hexadecimal texts."""
    import pyarrow as pa

    return pa.schema([(f.name, pa.string() if pa.types.is_binary(f.type) else f.type) for f in schema])


def _hex(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    def told(column: pa.Array) -> pa.Array:
        if not pa.types.is_binary(column.type):
            return column
        return pa.array([None if each is None else each.hex() for each in column.to_pylist()], pa.string())

    return pa.RecordBatch.from_arrays([told(column) for column in batch.columns], schema=schema)


def _lines(stream: Any, batch: pa.RecordBatch) -> None:
    stream.write(b"".join(line + b"\n" for line in lines(batch)))


def lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Yield each row as a JSON object. NaN is null, bytes are base64, decimals are texts with all digits."""
    import msgspec

    encode = msgspec.json.Encoder(decimal_format="string").encode
    return (encode(row) for row in batch.to_pylist())
