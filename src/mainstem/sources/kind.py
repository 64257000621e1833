"""What a kind of source is: one object that reads it, and says what it reads and whether it may have changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from mainstem.nodes.sources import Source

if TYPE_CHECKING:
    from mainstem.ports import Engine
    from mainstem.sources.extraction import Extraction, Request

S = TypeVar("S", bound=Source, contravariant=True)


class SourceKind(Protocol[S]):
    """Reads sources whose declaration is a `node_type`. Subclass it: `observe` and `settled` have defaults.

    A plan imports the kind and calls `observe`, so heavy libraries are imported inside the other methods. Contract:
    `mainstem.testing.contracts.source`.
    """

    node_type: ClassVar[type[Source]]

    @abstractmethod
    def extract(self, request: Request) -> Extraction:
        """Return what is new since `request.cursor`, in the columns of `request.schema`. Raises `SourceError`."""

    @abstractmethod
    def introspect(self, source: S, root: Path, engine: Engine) -> Mapping[str, str]:
        """Return columns and Ibis types, by looking at the source below `root`. Raises `SourceError`."""

    @abstractmethod
    def identity(self, source: S) -> Mapping[str, Any]:
        """Return plain values that say what is read: a cursor means nothing for another identity.

        A change of the mapping makes every stored source of this kind start from the beginning.
        """

    def observe(self, source: S, root: Path, cursor: str | None) -> str | None:
        """Return a text that changes when new data may be there; None if only reading tells.

        `cursor` is that of the last snapshot. An exception means that the source cannot be reached now.
        """
        return None

    def settled(self, source: S, root: Path) -> str | None:
        """Return what `observe` will give after a collection that begins now, if nothing happens; None if unknown."""
        return self.observe(source, root, None)
