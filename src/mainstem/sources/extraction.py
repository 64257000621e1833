"""The request to an extractor, and its result: rows to write, rows to replace, and how far it got."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.ports import Append, Relation, ReplaceAll, ReplaceFiles
from mainstem.sources.feed import Feed

if TYPE_CHECKING:
    import pyarrow as pa

Written = Mapping[str, tuple[str, ...]]
"""The names of the data files of each part."""


@dataclass(frozen=True)
class Request:
    """What to read: a source below the project's `root`, from its last `cursor` on, in the columns of `schema`."""

    name: str
    node: Any
    root: Path
    cursor: str | None
    schema: Mapping[str, str]
    report: Callable[[str], None] = lambda _: None

    @property
    def where(self) -> str:
        return f"{self.name} ({self.node.origin})"


@dataclass(frozen=True)
class Part:
    """Rows that are written together: one file of a source, or all rows. `name` is unique in an extraction."""

    name: str
    relation: Relation
    feed: Feed | None = None

    @classmethod
    def fed(cls, name: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Part:
        feed = Feed(batches, schema)
        return cls(name, feed, feed)


@dataclass(frozen=True)
class Extraction:
    """New rows and what they replace. `cursor` is called after the parts are written, because it is known only then.

    `change` says what the rows do to those of the base; `ReplaceFiles` gives the names of data files, not their paths.
    Nothing is new where no row is written and none removed, or where all rows are replaced and the cursor, which holds
    their digest then, is the same as before.
    """

    parts: Iterable[Part]
    cursor: Callable[[Written], str | None]
    change: Append | ReplaceAll | ReplaceFiles = Append()  # noqa: RUF009
    message: str = ""

    @classmethod
    def replacing(cls, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Extraction:
        """Return an extraction that replaces all rows. The cursor is their digest, so unchanged rows are detected."""
        hasher = hashlib.sha256()

        def hashed() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for column in batch.columns:
                    _hash(hasher, column)
                yield batch

        return cls([Part.fed("", hashed(), schema)], lambda _: json.dumps({"sha256": hasher.hexdigest()}), ReplaceAll())

    @classmethod
    def appending(
        cls, batches: Iterable[pa.RecordBatch], schema: pa.Schema, cursor: Callable[[], str | None]
    ) -> Extraction:
        """Return an extraction that appends rows."""
        return cls([Part.fed("", batches, schema)], lambda _: cursor())


def _hash(hasher: Any, column: pa.Array) -> None:
    """Add values to a hash: first which ones are not null, then these. Memory behind a null is undefined."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = pc.drop_null(column)
    for array in (pc.is_valid(column), present):
        values = array.cast(pa.int8()) if pa.types.is_boolean(array.type) else array
        hasher.update(pa.RecordBatch.from_arrays([values], names=["values"]).serialize())
