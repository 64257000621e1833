"""The ports: the protocols that the core uses to reach the outside, and the plain records that they exchange.

    Engine        computes: relations in, Parquet files or Arrow out
    Lake          keeps immutable snapshots of stored tables
    State         keeps records (runs, releases, findings) and moves branch heads by compare-and-swap
    OnlineStore   keeps bytes per key, read in microseconds or one round trip
    EventLog      keeps what was acknowledged; shares its transaction with the online store

Adapters live in engines/, lake/, state/ and stores/; every adapter passes the contract suite of its port in
`mainstem.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import ibis
    import pyarrow as pa
    from ibis.backends import BaseBackend

# ── tables ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Field:
    """One column of a stored table. Files are read by `id`; `type` is an Ibis type, such as `int64`."""

    id: int
    name: str
    type: str


@dataclass(frozen=True)
class Interval:
    """A half-open range of time, `start <= t < end`, in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that an engine wrote and that no snapshot refers to yet. `path` is absolute or a URI.

    If `interval` is set, all rows of the file are in that range.
    """

    path: str
    rows: int
    interval: Interval | None = None


class Partition(NamedTuple):
    """A column whose values, or the `unit` of whose instants in UTC, are equal in all rows of a file."""

    column: str
    unit: Literal["value", "year", "month", "day", "hour"] = "value"


@dataclass(frozen=True)
class Target:
    """Where an engine may write: a directory and the schema of its files. Rows are cast to it; columns carry its field
    ids. With `file_bytes` the rows are split, in their order, into files of about this size. With `partition` they are
    split by it, in no order. Otherwise they are one file.
    """

    directory: str
    fields: tuple[Field, ...]
    file_bytes: int | None = None
    partition: tuple[Partition, ...] = ()

    @property
    def items(self) -> dict[str, int]:
        """Map each array column to the field id of its items. These ids follow the columns' ids, in Iceberg's order."""
        arrays = (field.name for field in self.fields if field.type.startswith("array<"))
        after = 1 + max((field.id for field in self.fields), default=0)
        return {name: id for id, name in enumerate(arrays, start=after)}


@dataclass(frozen=True)
class Snapshot:
    """One immutable version of a stored table; `physical` names the Iceberg table, `metadata` its metadata file."""

    table: str
    physical: str
    id: int
    metadata: str
    rows: int
    run: str
    fields: tuple[Field, ...]
    cursor: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    partition: tuple[Partition, ...] = ()


@dataclass(frozen=True)
class Scan:
    """The files of one snapshot. Columns are read by field id."""

    files: tuple[str, ...]
    fields: tuple[Field, ...]
    rows: int


@dataclass(frozen=True)
class RawFiles:
    """Files as a source offers them. `columns` maps names to the Ibis types of the source's schema.

    `names` are those of the columns of CSV files, in their order, instead of the header's. `origin` is the name of a
    further column with the path of each row's file.
    """

    paths: tuple[str, ...]
    format: Literal["csv", "parquet", "json"]
    columns: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    origin: str | None = None


@runtime_checkable
class Feed(Protocol):
    """Batches that arrive while an engine reads them. They may arrive slowly."""

    def reader(self) -> pa.RecordBatchReader:
        """Return a reader of the batches. They can be read once."""

    def cancel(self) -> None:
        """End the wait for the next batch, from any thread. The read then fails."""


Relation = Any
"""What an engine can read: a `Scan`, `RawFiles`, a `Feed`, a `pyarrow.Table` or a `pyarrow.RecordBatchReader`."""


class Session(Protocol):
    """One connection of an engine that sees the given relations under their names."""

    def write(self, query: ibis.Table | str, target: Target) -> tuple[DataFile, ...]:
        """Write the rows of `query` (an unbound Ibis expression over the relations, or SQL) as Parquet files.

        The columns are cast to the target's fields and put in their order first. Raises `EngineError`.
        """

    def fetch(self, query: ibis.Table | str) -> pa.Table:
        """Return all rows as Arrow. Raises `EngineError`."""

    def batches(self, query: ibis.Table | str, rows: int = 65_536) -> pa.RecordBatchReader:
        """Return the rows in batches of at most `rows`."""

    def schema(self, query: ibis.Table | str) -> ibis.Schema:
        """Return the columns and types of a query without running it."""

    def add(self, name: str, relation: Relation) -> None:
        """Add one relation to those that the session sees."""

    def backend(self) -> BaseBackend:
        """Return the Ibis backend over the same relations, for interactive use."""


@runtime_checkable
class Distributed(Protocol):
    """A session whose rows are in other processes. A function of batches is sent to them."""

    def write_mapped(
        self,
        query: ibis.Table,
        function: Callable[[pa.RecordBatch], pa.RecordBatch],
        schema: ibis.Schema,
        target: Target,
    ) -> tuple[DataFile, ...]:
        """Write what the function makes of each batch of rows, with this schema."""


@runtime_checkable
class Boosting(Protocol):
    """A session that fits boosted trees where its rows are."""

    def boost(
        self,
        query: ibis.Table,
        function: Callable[[pa.RecordBatch], pa.RecordBatch],
        parameters: Mapping[str, Any],
        rounds: int,
    ) -> bytes:
        """Return a model of XGBoost as JSON, fitted on all rows that the function makes of the query's batches.

        They have `label` and `weight`, float64, and `features`, a list of float32. Raises `EngineError`.
        """


class Engine(Protocol):
    dialect: ClassVar[str]

    def session(self, relations: Mapping[str, Relation]) -> AbstractContextManager[Session]:
        """Open a session that sees `relations`. Its resources are closed on exit."""


@runtime_checkable
class Divisible(Protocol):
    """An engine whose sessions can share this machine's memory with those of other steps."""

    def part(self, sessions: int) -> Engine:
        """Return the engine for steps of which up to `sessions` run at once: each session gets a part of the memory."""

    def room(self) -> int:
        """Return how many sessions at once have enough memory, at least 1."""

    def interrupt(self) -> None:
        """Interrupt the statements of all open sessions, from any thread."""


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


# ── state ─────────────────────────────────────────────────────────────────────────────────────────────


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


# ── online ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sizes:
    """Approximate number of bytes of each space and each log, by name, as the store measures them."""

    spaces: Mapping[str, int]
    logs: Mapping[str, int]


class Writer(Protocol):
    """One transaction over online state and event log. At its end all of it is durable, or none of it."""

    def prefetch(self, space: str, keys: Iterable[bytes]) -> None:
        """Announce the keys that `get` will be called with. A remote store fetches all of them in one round trip."""

    def get(self, space: str, key: bytes) -> bytes | None: ...
    def get_many(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def put(self, space: str, key: bytes, value: bytes) -> None: ...
    def put_many(self, space: str, values: Mapping[bytes, bytes]) -> None: ...
    def delete(self, space: str, key: bytes) -> None: ...

    def clear(self, space: str, limit: int | None = None) -> bool:
        """Delete all entries of a space, or about `limit` of them. Return whether entries may be left."""

    def append(self, log: str, payloads: Sequence[bytes]) -> int:
        """Append to a log and return the first offset. The offsets of a log are 0, 1, 2, … without gaps."""


class OnlineStore(Protocol):
    """Bytes per (space, key).

    `where` is the place of the store, without secrets. `durability` says briefly what a finished transaction
    guarantees. A `remote` store is read over a network; an event loop must not wait for it.
    """

    remote: ClassVar[bool]

    @property
    def where(self) -> str: ...

    @property
    def durability(self) -> str: ...

    def transaction(self) -> AbstractContextManager[Writer]:
        """Open the transaction of the only writer. It is durable on exit and rolled back on an exception.

        Raises `StorageError`, also if the disk is full.
        """

    def read(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of many keys from one consistent view."""

    def read_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """Return the values of many keys in several spaces, from one consistent view and in one round trip."""

    def count(self, space: str) -> int: ...

    def scan(self, space: str, limit: int = 1_000) -> Iterator[list[tuple[bytes, bytes]]]:
        """Yield all keys of a space with their values, about `limit` at a time, each chunk from its own view.

        Concurrent writes may or may not be included, and a key may be returned twice.
        """

    def sizes(self) -> Sizes:
        """Return the size of each space and log. This may take as long as reading everything."""

    def close(self) -> None: ...


class EventLog(Protocol):
    """Ordered, durable payloads per log. A reader stores its own offset together with the data it writes."""

    def entries(self, log: str, start: int, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, payload) from `start` on."""

    def end(self, log: str) -> int:
        """Return the offset of the next payload."""

    def trim(self, log: str, before: int) -> None:
        """Delete payloads below an offset, once they are in the lake."""

    def begin(self, log: str, offset: int) -> None:
        """Continue a log that was lost: the next payload gets at least this offset, because lower offsets were used
        before.
        """


class Store(OnlineStore, EventLog, Protocol):
    """Online state and event log in one store: a transaction covers both."""


class BranchStore(Store, Protocol):
    """The store of one branch, on a server that holds the stores of several branches."""

    @property
    def begun(self) -> bool:
        """Whether anything was ever written to the store."""

    def fork(self, origin: str) -> None:
        """Start as a copy of another branch's store, unless this one has data or the other does not exist."""

    def drop(self) -> None:
        """Delete everything of this branch. A store that does not exist stays so."""
