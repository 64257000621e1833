"""The port of what computes: relations in, Parquet files or Arrow out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from mainstem.ports.tables import DataFile, Target

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from ibis.backends import BaseBackend


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
