"""The port of what keeps records (runs, releases, findings) and moves branch heads by compare-and-swap."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, TypeVar


class Record(Protocol):
    """A frozen dataclass with an `id`, unique within its class. Stored as JSON by msgspec."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Record)


class State(Protocol):
    """Records by class and id, and one head per branch that moves by compare-and-swap."""

    def save(self, *records: Record) -> None:
        """Insert or replace records in one transaction."""

    def get(self, kind: type[R], id: str) -> R | None: ...

    def find(self, kind: type[R], *, newest: int | None = None, **fields: str) -> list[R]:
        """Return records whose fields equal these texts, oldest first. `newest` limits them to the n newest."""

    def head(self, branch: str) -> str | None:
        """Return the id of the release that the branch publishes."""

    def move(self, branch: str, to: str, *, expect: str | None) -> None:
        """Move the branch's head if it is still `expect`. Raises `ConflictError` otherwise."""

    def publish(self, branch: str, to: Record, *records: Record, expect: str | None) -> None:
        """Save the release `to` and `records`, and move the branch's head to the release, in one transaction.

        Raises `ConflictError` if the head is no longer `expect`.
        """

    def reserve(self, counter: str, count: int = 1) -> int:
        """Return the first of `count` numbers that no other call gets. A counter begins at 1."""

    def hold(self, branch: str, who: str) -> AbstractContextManager[None]:
        """Hold the branch for one run; `who` is shown to others. It is let go when the process ends, however it ends.

        Raises `ConflictError` while another one holds it.
        """

    def branches(self) -> dict[str, str]: ...

    def drop(self, branch: str, *, expect: str) -> None:
        """Forget a branch if its head is still `expect`. Its records stay. Raises `ConflictError` otherwise."""
