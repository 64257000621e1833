"""What changed in a project since its nodes were made, and what the changes reach downstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reached:
    """A node that a change reaches. `columns` (features of a view) may have other values. `rows` says that it may have
    other rows, and so other values in every column."""

    node: str
    kind: str
    columns: tuple[str, ...] = ()
    rows: bool = False


@dataclass(frozen=True)
class Changed:
    """A node whose definition changed, or that is read otherwise, because of a remedy or a history.

    `diff` is the unified diff of its text, `note` says why there is none. `columns` are those whose expressions
    changed; `rows` says that it may have other rows.
    """

    node: str
    kind: str
    what: Literal["definition", "reading", "unknown"]
    where: str
    diff: tuple[str, ...] = ()
    note: str = ""
    columns: tuple[str, ...] = ()
    rows: bool = True
    reaches: tuple[Reached, ...] = ()
