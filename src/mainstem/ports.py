"""The ports: what the core asks of the outside, and the plain records that cross them.

    Engine        computes: relations in, Parquet files or Arrow out
    Lake          keeps immutable snapshots of stored tables
    State         keeps records (runs, releases, findings) and moves branch heads by compare-and-swap
    OnlineStore   keeps bytes per key, read in microseconds or one round trip
    EventLog      keeps what was acknowledged; shares its transaction with the online store

Adapters live in engines/, lake/, state/ and stores/; every adapter passes the contract suite of its port in
`mainstem.testing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from ibis.backends import BaseBackend

# ── tables ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Field:
    """One column of a stored table. `id` is what files are read by; `type` is an Ibis type, such as `int64`."""

    id: int
    name: str
    type: str


@dataclass(frozen=True)
class Interval:
    """A half-open stretch of time, `start <= t < end`, in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that an engine wrote and no snapshot refers to yet. `path` is absolute or a URI.

    With an `interval` all its rows are of that time.
    """

    path: str
    rows: int
    interval: Interval | None = None


@dataclass(frozen=True)
class Target:
    """Where an engine may write: a directory, and the schema its files must have (cast first, ids set)."""

    directory: str
    fields: tuple[Field, ...]

    @property
    def items(self) -> dict[str, int]:
        """Array column → the field id of its items: those after the columns', in order, as Iceberg counts them."""
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


@dataclass(frozen=True)
class Scan:
    """The files of one snapshot, to be read by field id."""

    files: tuple[str, ...]
    fields: tuple[Field, ...]
    rows: int


@dataclass(frozen=True)
class RawFiles:
    """Files as a source offers them. `columns` maps names to Ibis types: what the source's schema says."""

    paths: tuple[str, ...]
    format: Literal["csv", "parquet", "json"]
    columns: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Feed(Protocol):
    """Batches that arrive while an engine reads them, perhaps slowly."""

    def reader(self) -> pa.RecordBatchReader:
        """The batches, once."""

    def cancel(self) -> None:
        """End the reader's wait for the next batch, from any thread; reading then fails."""


Relation = Any
"""What an engine can read: a `Scan`, `RawFiles`, a `Feed`, a `pyarrow.Table` or a `pyarrow.RecordBatchReader`."""


class Session(Protocol):
    """One connection of an engine that sees the given relations under their names."""

    def write(self, query: ibis.Table | str, target: Target) -> tuple[DataFile, ...]:
        """Write the rows of `query` (an unbound Ibis expression over the relations, or SQL) as Parquet files.

        The columns are cast to the target's fields and put in their order first. Raises `EngineError`.
        """

    def fetch(self, query: ibis.Table | str) -> pa.Table:
        """All rows, as Arrow. Raises `EngineError`."""

    def batches(self, query: ibis.Table | str, rows: int = 65_536) -> pa.RecordBatchReader:
        """The rows in batches of at most `rows`."""

    def schema(self, query: ibis.Table | str) -> ibis.Schema:
        """The columns and types of a query, without running it."""

    def add(self, name: str, relation: Relation) -> None:
        """Let the session see one more relation."""

    def backend(self) -> BaseBackend:
        """The Ibis backend over the same relations, for a person to explore."""


class Engine(Protocol):
    dialect: ClassVar[str]

    def session(self, relations: Mapping[str, Relation]) -> AbstractContextManager[Session]:
        """A session that sees `relations`; what it opened is closed on exit."""


@dataclass(frozen=True)
class Append:
    """Add the new rows to those of the base."""


@dataclass(frozen=True)
class ReplaceAll:
    """Put the new rows in the place of all rows of the base."""


@dataclass(frozen=True)
class ReplaceFiles:
    """Put the new rows in the place of those in some data files of the base, by their paths."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class ReplaceInterval:
    """Put the new rows in the place of those from `start` up to but not including `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Upsert:
    """Put each new row in the place of the row of the base that has the same `key` columns, or add it."""

    key: tuple[str, ...]


@dataclass(frozen=True)
class Delete:
    """Remove the rows of the base whose `key` columns are among those of the new rows; add none."""

    key: tuple[str, ...]


Change = Append | ReplaceAll | ReplaceFiles | ReplaceInterval | Upsert | Delete
"""How a commit changes the rows of its base."""


class Lake(Protocol):
    """Immutable snapshots of stored tables. Nothing here is visible to readers before a release names it."""

    def target(self, table: str, schema: Mapping[str, str]) -> Target:
        """Where to write files of `table` with this schema (name → Ibis type); its physical table is made if new."""

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
        """Register files in one commit, as a `change` of the rows of `base`. Raises `StorageError`.

        Keeping files of a base of another physical table (its schema changed) is refused, and so is a change that the
        lake cannot make. The cursor is carried forward from `base` when none is given.
        """

    def scan(self, snapshot: Snapshot) -> Scan:
        """The files of a snapshot. Raises `StorageError` if it is gone."""

    def pin(self, snapshot: Snapshot, tag: str) -> None:
        """Keep a snapshot from expiring: a release or model version refers to it."""

    def publish(self, snapshot: Snapshot) -> None:
        """Move the physical table's own `main` to the snapshot, for readers outside Mainstem."""

    def sweep(self, keep: Sequence[Snapshot], *, older_than_hours: float = 24.0) -> int:
        """Delete data files that no kept snapshot and no young write refers to; the number deleted."""


# ── state ─────────────────────────────────────────────────────────────────────────────────────────────


class Record(Protocol):
    """A frozen dataclass with an `id`, unique within its class. Stored as JSON by msgspec."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Record)


class State(Protocol):
    """Records by class and id, and one head per branch that moves by compare-and-swap."""

    def save(self, *records: Record) -> None:
        """Insert or replace records, all in one transaction."""

    def get(self, kind: type[R], id: str) -> R | None: ...

    def find(self, kind: type[R], *, newest: int | None = None, **fields: str) -> list[R]:
        """Records whose fields equal these texts, oldest first; only the `newest` n if given."""

    def head(self, branch: str) -> str | None:
        """The id of the release that the branch publishes."""

    def move(self, branch: str, to: str, *, expect: str | None) -> None:
        """Move the branch's head iff it is still `expect`. Raises `ConflictError`."""

    def publish(self, branch: str, to: Record, *records: Record, expect: str | None) -> None:
        """Save the release `to` and `records`, and move the branch's head to it: all in one transaction, or nothing.

        Raises `ConflictError` if the head is not `expect` any more.
        """

    def reserve(self, counter: str, count: int = 1) -> int:
        """Return the first of `count` numbers that no other call gets, now or later. A counter begins at 1."""

    def branches(self) -> dict[str, str]: ...


# ── online ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sizes:
    """How many bytes each space and each log takes up, by name; about, and by the store's own measure."""

    spaces: Mapping[str, int]
    logs: Mapping[str, int]


class Writer(Protocol):
    """One transaction over online state and event log: all of it is on disk when it ends, or none."""

    def prefetch(self, space: str, keys: Iterable[bytes]) -> None:
        """Say what `get` is about to be asked for: a store that is far away brings all of it in one round trip."""

    def get(self, space: str, key: bytes) -> bytes | None: ...
    def get_many(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def put(self, space: str, key: bytes, value: bytes) -> None: ...
    def put_many(self, space: str, values: Mapping[bytes, bytes]) -> None: ...
    def delete(self, space: str, key: bytes) -> None: ...

    def clear(self, space: str, limit: int | None = None) -> bool:
        """Delete what a space has, or about `limit` of it where that takes time; whether something may be left."""

    def append(self, log: str, payloads: Sequence[bytes]) -> int:
        """Append to a log; the offset of the first. Offsets of a log are 0, 1, 2, … without a gap."""


class OnlineStore(Protocol):
    """Bytes per (space, key).

    `where` is its place, without secrets; `durability` says in a few words what is promised of a transaction that has
    ended. A `remote` one is read over a network, which an event loop must not wait for.
    """

    remote: ClassVar[bool]

    @property
    def where(self) -> str: ...

    @property
    def durability(self) -> str: ...

    def transaction(self) -> AbstractContextManager[Writer]:
        """One writer at a time; durable on exit, rolled back on an exception. Raises `StorageError` (full disk too)."""

    def read(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of many keys, from one consistent view."""

    def read_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """The values of many keys of each of several spaces, from one consistent view and in one round trip."""

    def count(self, space: str) -> int: ...

    def scan(self, space: str, limit: int = 1_000) -> Iterator[list[tuple[bytes, bytes]]]:
        """All keys of a space with their values, about `limit` at a time and each time from a view of its own: what is
        written meanwhile may be among them or not, and a key may come twice."""

    def sizes(self) -> Sizes:
        """What takes up how much; it may take as long as reading everything does."""

    def close(self) -> None: ...


class EventLog(Protocol):
    """Ordered, durable payloads per log. A reader keeps its own offset, with the data it writes."""

    def entries(self, log: str, start: int, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
        """(offset, payload) from `start` on."""

    def end(self, log: str) -> int:
        """The offset that the next payload will get."""

    def trim(self, log: str, before: int) -> None:
        """Forget payloads below an offset, once the lake has them."""

    def begin(self, log: str, offset: int) -> None:
        """Let the next payload have this offset at least: the log was lost, and what it had has a place elsewhere."""


class Store(OnlineStore, EventLog, Protocol):
    """Online state and event log in one store: a transaction covers both."""


class BranchStore(Store, Protocol):
    """The store of one branch, on a server that keeps those of many."""

    @property
    def begun(self) -> bool:
        """Whether anything was ever written to it."""

    def fork(self, origin: str) -> None:
        """Begin as a copy of another branch's store, unless this one has begun or there is no other."""
