"""Joins that a table function declares with `ms.join`: what is measured, and must hold, when the table is built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import ibis

Expect = Literal["one_to_one", "many_to_one", "one_to_many", "many_to_many"]
"""How many rows of each side have the same key."""


@dataclass(frozen=True, eq=False)
class Join:
    """A declared join of two relations on pairs of columns.

    `shown` are the columns as the user gave them: a join by similarity finds its keys itself.
    `expect` limits how many rows of a side have a key. `coverage` is the least share of left rows that have a match.
    `compared`, for a join by similarity, is a relation of one row and the column `pairs`: how many pairs of texts are
    compared; there may be `most_pairs`. The names are those of the first relation that each side reads.
    """

    left: ibis.Table
    right: ibis.Table
    keys: tuple[tuple[str, str], ...]
    shown: tuple[tuple[str, str], ...]
    names: tuple[str, str]
    where: str
    expect: Expect | None = None
    coverage: float | None = None
    severity: Literal["error", "warn"] = "error"
    compared: ibis.Table | None = None
    most_pairs: int = 0

    @property
    def label(self) -> str:
        """The join as a run prints it: `join(orders → customers on customer_id)`."""
        link = "=" if self.compared is None else "≈"
        keys = ", ".join(a if a == b else f"{a} {link} {b}" for a, b in self.shown)
        return f"join({self.names[0]} → {self.names[1]} on {keys})"

    @property
    def relations(self) -> tuple[ibis.Table, ...]:
        """What is read to measure the join."""
        return (self.left, self.right, *([] if self.compared is None else [self.compared]))

    def over(self, change: Callable[[ibis.Table], ibis.Table]) -> Join:
        """Return the same join over changed relations, such as stored ones."""
        compared = None if self.compared is None else change(self.compared)
        return replace(self, left=change(self.left), right=change(self.right), compared=compared)


_declared: ContextVar[list[Join] | None] = ContextVar("declared_joins", default=None)


@contextmanager
def collecting() -> Iterator[list[Join]]:
    """Collect the joins that are declared in the block: those of the table whose function is called in it."""
    found: list[Join] = []
    token = _declared.set(found)
    try:
        yield found
    finally:
        _declared.reset(token)


def declare(join: Join) -> None:
    """Add a join to the table whose function is being called. Outside of one, as in a notebook, do nothing."""
    found = _declared.get()
    if found is not None:
        found.append(join)
