"""A format of files: how its columns are found, and how batches of files become parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.nodes.files import Files
from mainstem.nodes.hidden import FILE
from mainstem.ports import Engine

if TYPE_CHECKING:
    import ibis

    from mainstem.sources.evolution import Change, Shape
    from mainstem.sources.extraction import Part


@dataclass(frozen=True)
class Reading:
    """Files of a source that are read in one collection: paths below `root`, in order.

    `prefix` stands before a path where it is told. With `packed` the files are members of the archives that they lie
    in.
    """

    node: Files
    root: Path
    engine: Engine
    shape: Shape
    paths: tuple[str, ...]
    prefix: str = ""
    packed: bool = False

    def at(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Return paths as the engine opens them."""
        return tuple(str(self.root / path) for path in paths)

    def told(self, file: str) -> str:
        """Return a path that the engine has opened, as the cursor has it."""
        told = file[len(f"{str(self.root).rstrip('/')}/") :]
        return self.prefix + (told.rsplit("/", 1)[0] if self.packed else told)

    def origin(self, table: Any) -> Any:
        """Return the paths of `_file`, as the cursor has them."""
        import ibis

        below = f"{str(self.root).rstrip('/')}/"
        told = table[FILE].substr(len(below))
        if self.packed:
            told = told.re_replace(r"/[^/]*$", "")
        return ibis.literal(self.prefix) + told if self.prefix else told


class Format(ABC):
    """One format. Heavy libraries are imported in the methods, because a plan imports the module."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    def convert(self, source: Path, target: Path, node: Files, known: Mapping[str, str]) -> bool:
        """Write a file in another format that the engine reads; False if it reads the file itself. `known` are the
        source's columns and types so far."""
        return False

    @abstractmethod
    def parts(self, reading: Reading) -> Iterator[Part]:
        """Yield the rows of the files, with their paths in `_file`. Many small files are one part. The reading's shape
        grows with what the files have. Raises `SourceError`."""

    @abstractmethod
    def introspect(self, node: Files, paths: tuple[str, ...], engine: Engine) -> Mapping[str, str]:
        """Return columns and Ibis types of all files; `null` for a column without values. Raises `SourceError`."""


FILES = 250
"""The most files that one session reads. The engine compares each with all that it may read."""


def batched(reading: Reading, most: int = 64 * 2**20) -> Iterator[tuple[str, ...]]:
    """Yield the paths in groups of about `most` bytes and at most `FILES` files."""
    group, size = list[str](), 0
    for path in reading.paths:
        bytes = (reading.root / path).stat().st_size
        if group and (size + bytes > most or len(group) == FILES):
            yield tuple(group)
            group, size = [], 0
        group.append(path)
        size += bytes
    if group:
        yield tuple(group)


def doubts(changes: Sequence[Change], fits: Callable[[Any, str], Any], table: ibis.Table) -> Any:
    """Return why a row is set aside, as a text; null for a row that fits. `fits` tests a column for a type."""
    import ibis

    nothing = ibis.null(str)
    reasons = []
    for change in changes:
        name = change.column
        if change.after is None:
            reasons.append(ibis.literal(f"no column {name}"))
        elif change.before is None:
            reasons.append(ibis.ifelse(table[name].notnull(), f"unknown column {name}", nothing))
        else:
            text = ibis.literal(f"{name}=") + table[name].cast("string") + ibis.literal(f" is not {change.before}")
            unfit = table[name].notnull() & ~fits(table[name], change.before)
            reasons.append(ibis.ifelse(unfit, text, nothing))
    return ibis.array(reasons).filter(lambda each: each.notnull()).join("; ").nullif("")
