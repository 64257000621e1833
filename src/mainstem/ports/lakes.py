"""The port of what keeps immutable snapshots of stored tables, and the artifacts of models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mainstem.ports.tables import DataFile, Partition, Scan, Snapshot, Target

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Append:
    """Append the new rows to the base."""


@dataclass(frozen=True)
class ReplaceAll:
    """Replace all rows of the base with the new rows."""


@dataclass(frozen=True)
class ReplaceFiles:
    """Replace the rows of some data files of the base, given by path, with the new rows."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class ReplaceInterval:
    """Replace the rows of the base from `start` to before `end` with the new rows."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Upsert:
    """Replace the row with the same `key` columns by the new row, or append the new row."""

    key: tuple[str, ...]


@dataclass(frozen=True)
class Delete:
    """Delete the rows of the base whose `key` columns occur in the new rows. No rows are added."""

    key: tuple[str, ...]


Change = Append | ReplaceAll | ReplaceFiles | ReplaceInterval | Upsert | Delete
"""How a commit changes the rows of its base."""


class Sweep(NamedTuple):
    """What was deleted from a lake: data files and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Damage:
    """A data file of a table that differs from what was committed: its path, the sha256 of its commit, and the one it
    has now (or why it cannot be read)."""

    table: str
    file: str
    expected: str
    got: str


@dataclass(frozen=True)
class Verification:
    """The result of verifying data files: the paths of those that are `sound` and their bytes together, those that are
    `damaged`, and the paths of those without a recorded checksum."""

    sound: tuple[str, ...] = ()
    bytes: int = 0
    damaged: tuple[Damage, ...] = ()
    unrecorded: tuple[str, ...] = ()


class Artifacts(Protocol):
    """Where artifacts of models are. A directory is one."""

    def __truediv__(self, artifact: str, /) -> Path:
        """Return the directory of an artifact, such as `models/late/3`. It may be fetched first."""


class Lake(Protocol):
    """Immutable snapshots of stored tables. Readers see a snapshot only when a release names it."""

    def target(self, table: str, schema: Mapping[str, str], partition: Sequence[Partition] = ()) -> Target:
        """Return where to write files of `table` with this schema (name → Ibis type) and partition. The physical table
        is created if needed.
        """

    def commit(
        self,
        table: str,
        target: Target,
        files: Sequence[DataFile],
        *,
        base: Snapshot | None,
        run: str,
        change: Change = Append(),
        cursor: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """Commit files as one snapshot that makes `change` to the rows of `base`. Raises `StorageError`.

        A change that keeps files of the base is refused if the base belongs to another physical table (the schema
        changed). A change that the lake does not support is refused. Without a cursor, the cursor of `base` is kept.
        """

    def scan(self, snapshot: Snapshot) -> Scan:
        """Return the files of a snapshot. Raises `StorageError` if the snapshot no longer exists."""

    def settle(self) -> None:
        """Wait until the checksums of all files that were committed are on disk. Raises `StorageError`."""

    def verify(
        self, snapshots: Sequence[Snapshot], *, before: datetime | None = None, seconds: float | None = None
    ) -> Verification:
        """Read the data files of snapshots, and compare them with the checksums of their commits.

        With `before`, only files that were not verified since are read, the oldest first, for at most about `seconds`.
        """

    def keep_artifact(self, artifact: str) -> bool:
        """Make an artifact durable that was saved below the lake's local root. Return False if another run has saved
        one of that name.
        """

    def pin(self, snapshot: Snapshot, tag: str) -> None:
        """Keep a snapshot from expiring because a release or a model version refers to it."""

    def offer(self, tables: Mapping[str, Snapshot]) -> None:
        """Show readers outside Mainstem these snapshots under these names, and no others, all at once."""

    def sweep(
        self,
        keep: Sequence[Snapshot],
        *,
        unpinned: Collection[str] = (),
        drop: bool = False,
        older_than_hours: float = 24.0,
    ) -> Sweep:
        """Delete data files that no kept snapshot, no pin and no recent write refers to.

        A snapshot is pinned by its run, and by its tags, until they are in `unpinned`. With `drop` a physical table of
        which nothing is kept or pinned goes as a whole; no run may be in progress then.
        """
