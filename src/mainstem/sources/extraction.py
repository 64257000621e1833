"""The request to an extractor, and its result: rows to write, rows to replace, and how far it got."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mainstem.nodes.hidden import visible
from mainstem.nodes.spans import Span
from mainstem.ports import Append, Engine, Relation, ReplaceAll
from mainstem.sources.feed import Feed

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

    from mainstem.sources.evolution import Shape

Values = Mapping[str, Any]
"""Ibis expressions over the relation of a part, by column."""


@dataclass(frozen=True)
class ReplaceOrigins:
    """Replace the rows that came from these files of the source, by their paths in `_file`; without any, only append.

    The parts have the column `_file`.
    """

    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merge:
    """Replace the rows with the same key. Of new rows with one key, the latest by `column` counts.

    Stored rows whose key does not come are removed if they are in the `scope`: all of them, those with the column in a
    span, or none. A source that appends has several rows of a key: what comes then replaces the rows of the span, and
    no others.
    """

    key: tuple[str, ...]
    column: str | None = None
    scope: Literal["all"] | Span | None = None
    appends: bool = False


Replacement = Append | ReplaceAll | ReplaceOrigins | Merge
"""What new rows of a source replace."""


@dataclass(frozen=True)
class Request:
    """What to read: a source below the project's `root`, from its last `cursor` on, with the run's `engine`.

    `shape` has the columns and types that are known. It grows with the batches that meet it. `again` are files of the
    source to be read again. With `between` the rows with a cursor in this span are to be read again, and no others.
    """

    name: str
    node: Any
    root: Path
    cursor: str | None
    shape: Shape
    engine: Engine
    report: Callable[[str], None] = lambda _: None
    again: frozenset[str] = frozenset()
    between: Span | None = None

    @property
    def schema(self) -> Mapping[str, str]:
        """The columns and Ibis types that are known now."""
        return self.shape.schema

    @property
    def where(self) -> str:
        return f"{self.name} ({self.node.origin})"


@dataclass(frozen=True)
class Part:
    """Rows that are written together, with the `columns` of their relation.

    `schema` is that of the source when the rows were met. `values` computes its columns from the relation; without it
    they are those of the same name. A column that neither has is null. `again` is called if the values do not fit: it
    returns the part with a wider schema, or raises what is wrong. `doubt` is a text that is not null for rows to be
    set aside.
    """

    name: str
    relation: Relation
    columns: Mapping[str, str]
    schema: Mapping[str, str]
    values: Callable[[ibis.Table], Values] | None = None
    doubt: Callable[[ibis.Table], Any] | None = None
    again: Callable[[], Part] | None = None
    feed: Feed | None = None


@dataclass(frozen=True)
class Extraction:
    """New rows and what they replace. `cursor` and a callable `message` are called after the parts are
    written, because they are known only then.

    Nothing is new where no row is written and none removed. With `is_digest` the cursor is a digest of all rows, and
    nothing is new if it is the same as before.
    """

    parts: Iterable[Part]
    cursor: Callable[[], str | None]
    change: Replacement = Append()  # noqa: RUF009
    message: str | Callable[[], str] = ""
    is_digest: bool = False

    @property
    def told(self) -> str:
        """What the run says of the extraction, after the parts are written."""
        return self.message if isinstance(self.message, str) else self.message()

    @classmethod
    def replacing(cls, batches: Iterable[pa.RecordBatch], schema: pa.Schema, change: Merge | None = None) -> Extraction:
        """Return an extraction that replaces all rows, or makes another change of them. The cursor is their digest, so
        unchanged rows are detected.

        `schema` is that of the first batch, or of all batches.
        """
        hasher = hashlib.sha256()

        def hashed() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for column in batch.columns:
                    _hash(hasher, column)
                yield batch

        def digest() -> str:
            return json.dumps({"sha256": hasher.hexdigest()})

        return cls(fed(hashed(), schema), digest, change or ReplaceAll(), is_digest=True)

    @classmethod
    def appending(
        cls,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        cursor: Callable[[], str | None],
        message: Callable[[], str] = lambda: "",
    ) -> Extraction:
        """Return an extraction that appends rows."""
        return cls(fed(batches, schema), cursor, message=message)

    @classmethod
    def merging(
        cls,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        change: Merge,
        cursor: Callable[[], str | None],
        message: Callable[[], str] = lambda: "",
    ) -> Extraction:
        """Return an extraction whose rows replace those of the same key."""
        return cls(fed(batches, schema), cursor, change, message)


def fed(batches: Iterable[pa.RecordBatch], schema: pa.Schema, name: str = "") -> Iterator[Part]:
    """Yield the batches as parts, one for each run of batches with the same columns and types, `schema` at first."""
    from mainstem.sources.arrow import types_of

    feed, upcoming = Feed(batches, schema), schema
    while upcoming is not None:
        types = types_of(upcoming)
        yield Part(name, feed.expecting(upcoming), types, visible(types), feed=feed)
        upcoming = feed.upcoming()


def _hash(hasher: Any, column: pa.Array) -> None:
    """Add values to a hash: first which ones are not null, then these. Memory behind a null is undefined."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = pc.drop_null(column)
    for array in (pc.is_valid(column), present):
        values = array.cast(pa.int8()) if pa.types.is_boolean(array.type) else array
        hasher.update(pa.RecordBatch.from_arrays([values], names=["values"]).serialize())
