"""Partitions: predictions that a monitor has not judged yet, with their outcomes and the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import StorageError
from mainstem.graph.lineage import leaves
from mainstem.logs.lateness import decided_in_time
from mainstem.models.metrics import Array
from mainstem.models.splits import FOLD
from mainstem.monitoring.drift import Sample
from mainstem.monitoring.outcomes import OUTCOME, Joining
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.erasures import Replaced
from mainstem.nodes.forecasts import HORIZON
from mainstem.nodes.hidden import PREDICTION, SPLIT, TARGET, VERSION, T
from mainstem.nodes.instants import instant_of
from mainstem.nodes.records import InputColumn, ModelVersion, Release
from mainstem.nodes.tables import Table
from mainstem.planning.execution import Context
from mainstem.ports import Snapshot

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


@dataclass(frozen=True)
class Batch:
    """Rows of a model's inputs with times [n] in µs, scores [n] and outcomes [n] (NaN where not known).

    The score of several classes is the highest probability, and the outcome the place of the class in the version's.
    `table` has the same rows as logged: keys, request columns, `_id`, `_t`.
    """

    inputs: Sample
    scores: NDArray[np.float64]
    outcomes: NDArray[np.float64]
    table: pa.Table

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Return which rows have a score and an outcome."""
        return ~np.isnan(self.outcomes) & ~np.isnan(self.scores)

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The first and the last prediction time."""
        times = self.inputs.times
        return instant_of(int(times.min())), instant_of(int(times.max()))

    def take(self, rows: Array) -> Batch:
        """Return some of the rows, by a mask [n] or row numbers, in their order."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Batch(self.inputs.take(numbers), self.scores[numbers], self.outcomes[numbers], self.table.take(numbers))


@dataclass(frozen=True)
class Watched:
    """An endpoint and its live version, in one run."""

    context: Context
    name: str
    endpoint: Endpoint
    version: ModelVersion

    @classmethod
    def of(cls, context: Context, name: str) -> Watched | None:
        """Return the live endpoint `name` of this branch; None without a live version."""
        node = context.graph[name].node
        id = context.release.champion(name)
        version = context.records.get(ModelVersion, id) if id else None
        if version is None or not isinstance(node, Endpoint) or f"predictions.{name}" not in context.release.tables:
            return None
        return cls(context, name, node, version)

    @property
    def model(self) -> str:
        return self.context.graph.name_of(self.endpoint.model)

    def predictions(self) -> Batch:
        """Return every logged prediction of the live version with its outcome, by time; but not the declared answers
        to requests that were late."""
        query = self._joined()
        with self.context.session(leaves(query)) as session:
            table = session.fetch(query)
        inputs = inputs_of(table, self.version.inputs)
        return Batch(Sample(inputs, times_of(table, T)), floats(table["score"]), floats(table[OUTCOME]), table)

    def sent(self) -> tuple[int, int]:
        """Return of how many ids with sent outcomes no prediction is in the lake, and how many were corrected."""
        relation = f"outcomes.{self.name}"
        if relation not in self.context.release.tables:
            return 0, 0
        query = self._joining.counted(self._stored(f"predictions.{self.name}"), self._stored(relation))
        with self.context.session(leaves(query)) as session:
            (found,) = session.fetch(query).to_pylist()
        return found["unknown"], found["corrected"]

    @property
    def _joining(self) -> Joining:
        classes = self.version.classes if self.version.task == "multiclass" else ()
        return Joining(self.context.graph, self.name, classes)

    def _joined(self) -> ibis.Table:
        joining = self._joining
        logged = self._stored(f"predictions.{self.name}")
        sent = f"outcomes.{self.name}"
        outcomes = self._stored(sent) if sent in self.context.release.tables else None
        if self.endpoint.canary is None:
            joined = joining.joined(decided_in_time(logged.filter(logged[VERSION] == self.version.id)), outcomes)
        else:  # rows that were scored together may be of two versions
            joined = joining.joined(decided_in_time(logged), outcomes)
            joined = joined.filter(joined[VERSION] == self.version.id)
        key = [*_key(self.context.graph, joining.examples), HORIZON]
        # Ids are random: what comes before them makes equal data give equal findings.
        return joined.order_by(T, *(name for name in key if name in joined.columns), "score", PREDICTION)

    def _stored(self, relation: str) -> ibis.Table:
        import ibis

        return ibis.table({f.name: f.type for f in self.context.snapshot(relation).fields}, name=relation)

    def dataset(self) -> Batch:
        """Return the labelled rows of the version's training and test, by time. `table` has `_split`. They are not
        scored."""
        relation = f"dataset.{self.model}"
        snapshot = self._pinned(relation)
        with self.context.engine.session({relation: self.context.scan(snapshot)}) as session:
            import ibis

            stored = ibis.table({f.name: f.type for f in snapshot.fields}, name=relation)
            key = [*_key(self.context.graph, self.context.graph.name_of(self.endpoint.model.examples)), HORIZON]
            labelled = stored.filter(stored[SPLIT].isin(["train", "test"]) | stored[SPLIT].startswith(FOLD))
            table = session.fetch(labelled.order_by(T, *(name for name in key if name in stored.columns)))
        inputs = inputs_of(table, self.version.inputs)
        scores = np.full(table.num_rows, np.nan)
        return Batch(Sample(inputs, times_of(table, T)), scores, _labels(table[TARGET]), table)

    def _pinned(self, relation: str) -> Snapshot:
        """Return the snapshot that the version was made with, from this release or from an earlier one."""
        wanted = self.version.snapshots.get(relation)
        candidates = [self.context.release, *reversed(self.context.records.find(Release))]
        for release in candidates:
            snapshot = release.tables.get(relation)
            if snapshot is not None and wanted in (None, snapshot.id):
                return snapshot
        erased = self.context.state.get(Replaced, str(wanted))
        if erased is not None and erased.relation == relation:
            return erased.instead
        raise StorageError(
            f"the rows that {self.version.id} was trained on no longer exist",
            got=f"no release with snapshot {wanted} of {relation}",
            hint="mainstem run, then mainstem promote: a new version has its own",
        )


def reference(dataset: Batch) -> Batch:
    """Return the test rows of a version's dataset. Of a cross-validated version, all rows are."""
    return _in(dataset, lambda part: part == "test" or part.startswith(FOLD))


def held_out(dataset: Batch) -> Batch:
    """Return the rows that the first of the version's measured artifacts has not seen."""
    return _in(dataset, lambda part: part in ("test", f"{FOLD}1"))


def _in(dataset: Batch, wanted: Callable[[str], bool]) -> Batch:
    return dataset.take(np.array([wanted(part) for part in dataset.table[SPLIT].to_pylist()], bool))


def floats(column: Any) -> NDArray[np.float64]:
    """Return an Arrow column as float64, with NaN for null."""
    return np.asarray(column.cast("float64").to_numpy(zero_copy_only=False), np.float64)


def _labels(column: Any) -> NDArray[np.float64]:
    """Return labels as `floats` does; NaN for the names of classes."""
    import pyarrow as pa

    return np.full(len(column), np.nan) if pa.types.is_string(column.type) else floats(column)


def texts(column: Any) -> Array:
    """Return an Arrow column as objects, with None for null."""
    return np.asarray(column.cast("string").to_numpy(zero_copy_only=False), object)


def times_of(table: pa.Table, column: str) -> NDArray[np.int64]:
    """Return an instant column as µs since the epoch; 0 for null, in a dataset without a prediction time."""
    import pyarrow as pa

    found = table[column].cast(pa.timestamp("us", "UTC")).cast("int64").fill_null(0)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def inputs_of(table: pa.Table, columns: Sequence[InputColumn]) -> Mapping[str, Array]:
    return {c.name: floats(table[c.name]) if c.type == "float" else texts(table[c.name]) for c in columns}


def _key(graph: Graph, examples: str) -> Iterable[str]:
    node = graph[examples].node
    assert isinstance(node, Table) or hasattr(node, "key")
    return tuple(node.key)
