"""A kind of source: one object that reads it, identifies its place, and tells whether it may have changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from mainstem.nodes.sources import Source

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.ports import Engine
    from mainstem.sources.evolution import Shape
    from mainstem.sources.extraction import Extraction, Request

S = TypeVar("S", bound=Source, contravariant=True)


class SourceKind(Protocol[S]):
    """Reads sources whose declaration is a `node_type`. Subclass it. `observe`, `settled` and `again` have defaults.

    A plan imports the kind and calls `observe`, so heavy libraries must be imported inside the other methods. Contract:
    `mainstem.testing.contracts.source`. `has_types` says that the source tells the types of its columns, also of those
    without a value.
    """

    node_type: ClassVar[type[Source]]
    has_types: ClassVar[bool] = False

    @abstractmethod
    def extract(self, request: Request) -> Extraction:
        """Return the rows since `request.cursor`, in the columns of `request.schema`. Raises `SourceError`."""

    @abstractmethod
    def introspect(self, source: S, root: Path, engine: Engine) -> Mapping[str, str]:
        """Return columns and Ibis types by reading the source below `root`. Raises `SourceError`."""

    @abstractmethod
    def identity(self, source: S) -> Mapping[str, Any]:
        """Return plain values that identify the place that is read. A cursor is invalid for another identity.

        After a change of these values, every stored source of this kind is read from the beginning.
        """

    def observe(self, source: S, root: Path, cursor: str | None) -> str | None:
        """Return a text that changes if there may be new data; None if only a read can tell.

        `cursor` is the cursor of the last snapshot. An exception means that the source is unreachable now.
        """
        return None

    def settled(self, source: S, root: Path) -> str | None:
        """Return the text of `observe` after a collection that begins now, if nothing changes; None if unknown."""
        return self.observe(source, root, None)

    def again(self, records: Sequence[Mapping[str, Any]], shape: Shape) -> Iterator[pa.RecordBatch] | None:
        """Return rows that were set aside, as they came, in the columns of `shape`; None if they are plain records."""
        return None
