"""What an extractor is asked, and what it gives: relations to write, rows to replace, and how far it got."""

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
"""The names of the data files that each part became."""


@dataclass(frozen=True)
class Request:
    """What to read: a source below the project's `root`, from its last `cursor` on, with the columns `schema` says."""

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
    """Rows that are written together: one file of a source, or all there is. `name` is unique in an extraction."""

    name: str
    relation: Relation
    feed: Feed | None = None

    @classmethod
    def fed(cls, name: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Part:
        feed = Feed(batches, schema)
        return cls(name, feed, feed)


@dataclass(frozen=True)
class Extraction:
    """New rows and what they replace. `cursor` is asked for when the parts are written: only then is it known.

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
        """All rows anew. The cursor is their digest, so that the same rows again are nothing new."""
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
        """Rows beside those that are stored."""
        return cls([Part.fed("", batches, schema)], lambda _: cursor())


def _hash(hasher: Any, column: pa.Array) -> None:
    """Hash which values are there, and those: what lies in memory behind a null may be anything."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = pc.drop_null(column)
    for array in (pc.is_valid(column), present):
        values = array.cast(pa.int8()) if pa.types.is_boolean(array.type) else array
        hasher.update(pa.RecordBatch.from_arrays([values], names=["values"]).serialize())
