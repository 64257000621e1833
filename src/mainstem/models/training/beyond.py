"""The rows of a stored dataset that an engine fits on, drawn for this process or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mainstem.errors import ModelError
from mainstem.models.data.columns import rows_of
from mainstem.models.data.labels import numbered
from mainstem.models.data.rows import Matrix, Rows, Weigh
from mainstem.models.splits import UNDRAWN
from mainstem.nodes.hidden import SPLIT, TARGET, WEIGHT, T
from mainstem.nodes.models import Task
from mainstem.nodes.records import InputColumn
from mainstem.ports import Boosting, Session

if TYPE_CHECKING:
    import ibis

LABELLED = ("train", "gap", "test")
SCHEMA = pa.schema([("label", pa.float64()), ("weight", pa.float64()), ("features", pa.list_(pa.float32()))])


@dataclass(frozen=True, eq=False)
class Reading:
    """How a worker reads a batch of a dataset: what `labels.labels`, `rows_of` and a fit do with the drawn rows.

    `mean` is that of the weights, if there are any. `made` and `weighs` are what the fit made of inputs and weights.
    """

    inputs: tuple[InputColumn, ...]
    task: Task
    classes: tuple[str, ...]
    mean: float | None = None
    made: tuple[Callable[[Rows], Rows], ...] = ()
    weighs: tuple[tuple[Weigh, float], ...] = ()
    matrix: Callable[[Rows], Matrix] | None = None

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the labels, weights and features of the rows with a label."""
        table = pa.Table.from_batches([batch])
        y = numbered(table[TARGET], self.task, self.classes)
        known = np.flatnonzero(np.isfinite(y))
        if not len(known):
            return pa.RecordBatch.from_pylist([], SCHEMA)
        table, y = table.take(known), y[known]
        features = self._features(table)
        width = np.arange(len(y) + 1, dtype=np.int32) * features.shape[1]
        lists = pa.ListArray.from_arrays(pa.array(width), pa.array(features.reshape(-1)))
        return pa.RecordBatch.from_arrays([pa.array(y), pa.array(self._weights(table, y)), lists], schema=SCHEMA)

    def _features(self, table: pa.Table) -> Matrix:
        assert self.matrix is not None
        rows = rows_of(table.select([column.name for column in self.inputs]), self.inputs)
        for made in self.made:
            rows = made(rows)
        return np.ascontiguousarray(self.matrix(rows), np.float32)

    def _weights(self, table: pa.Table, y: Any) -> Any:
        weights = np.ones(len(y))
        if self.mean is not None:
            weights = np.asarray(table[WEIGHT].cast(pa.float64(), safe=False).to_numpy(), float) / self.mean
        labels = y.astype(np.int64) if self.classes else y
        times = np.asarray(table[T].cast(pa.int64()).fill_null(0).to_numpy(), np.int64)
        for weigh, mean in self.weighs:
            weights = weights * weigh(labels, times) / mean
        return weights


@dataclass(frozen=True)
class Counted:
    """The rows of a part: their number, and their latest time (µs)."""

    rows: int
    latest: int


@dataclass(frozen=True, eq=False)
class Stored:
    """Labelled rows of a stored dataset: those of some `parts`, drawn or not. `session` opens one that reads it."""

    dataset: ibis.Table
    session: Callable[[], AbstractContextManager[Session]]
    reading: Reading
    counts: Mapping[str, Counted]
    parts: tuple[str, ...] = LABELLED

    def of(self, *parts: str) -> Stored:
        return replace(self, parts=parts)

    @cached_property
    def _own(self) -> list[str]:
        return [name for part in self.parts for name in (part, part + UNDRAWN)]

    @property
    def rows(self) -> int:
        return sum(self.counts[name].rows for name in self._own if name in self.counts)

    @property
    def latest(self) -> int:
        return max((self.counts[name].latest for name in self._own if name in self.counts), default=0)

    @property
    def undrawn(self) -> int:
        """How many rows of the dataset this process does not have, labelled or not."""
        return sum(each.rows for name, each in self.counts.items() if name.endswith(UNDRAWN))

    def through(self, made: Callable[[Rows], Rows]) -> Stored:
        return replace(self, reading=replace(self.reading, made=(*self.reading.made, made)))

    def weighed(self, weigh: Weigh, mean: float) -> Stored:
        return replace(self, reading=replace(self.reading, weighs=(*self.reading.weighs, (weigh, mean))))

    def boost(self, matrix: Callable[[Rows], Matrix], parameters: Mapping[str, Any], rounds: int) -> bytes:
        stored, weight = self.dataset, [WEIGHT] if self.reading.mean is not None else []
        columns = dict.fromkeys([*(column.name for column in self.reading.inputs), T, TARGET, *weight])
        rows = stored.filter(stored[SPLIT].isin(self._own)).select(list(columns))
        with self.session() as session:
            assert isinstance(session, Boosting)
            return session.boost(rows, replace(self.reading, matrix=matrix), parameters, rounds)


def stored_rows(
    dataset: ibis.Table, session: Callable[[], AbstractContextManager[Session]], reading: Reading
) -> Stored | None:
    """Return the labelled rows of a stored dataset; None if the engine does not fit where its rows are.

    Raises `ModelError` for a weight or a count that is not one.
    """
    with session() as opened:
        if not isinstance(opened, Boosting):
            return None
        found = opened.fetch(_counts(dataset, reading.task)).to_pylist()
    counts = {each["part"]: Counted(each["rows"], each["latest"] or 0) for each in found}
    labelled = [each for each in found if each["part"].removesuffix(UNDRAWN) in LABELLED]
    weighted = WEIGHT in dataset.columns
    _valid(labelled, weighted)
    total = sum(each["weights"] for each in labelled)
    mean = total / sum(each["rows"] for each in labelled) if weighted else None
    return Stored(dataset, session, replace(reading, mean=mean), counts)


def _counts(dataset: ibis.Table, task: Task) -> ibis.Table:
    import ibis

    weight = dataset[WEIGHT].cast("float64") if WEIGHT in dataset.columns else ibis.literal(1.0)
    wrong = (weight.isnull() | weight.isnan() | weight.isinf() | (weight < 0)).cast("int64")
    target = dataset[TARGET].cast("float64") if task == "count" else ibis.literal(0.0)
    odd = ((target < 0) | (target != target.floor())).fill_null(False).cast("int64")
    rows = dataset.select(part=dataset[SPLIT], at=dataset[T].epoch_seconds(), weight=weight, wrong=wrong, odd=odd)
    return rows.group_by("part").agg(
        rows=rows.count(),
        latest=(rows["at"].max() * 1_000_000),
        weights=rows["weight"].sum(),
        wrong=rows["wrong"].sum(),
        odd=rows["odd"].sum(),
    )


def _valid(labelled: list[dict[str, Any]], weighted: bool) -> None:
    wrong, odd = (sum(each[name] or 0 for each in labelled) for name in ("wrong", "odd"))
    rows = sum(each["rows"] for each in labelled)
    if weighted and wrong:
        raise ModelError(
            "`weight` must be a number of at least 0 in each labelled row",
            got=f"{wrong:,} of {rows:,} rows are null, negative or infinite",
            hint="weight=_.amount.fill_null(0)",
        )
    if odd:
        raise ModelError(
            "a count must be a whole number of at least 0",
            got=f"{odd:,} of {rows:,} labelled rows are not one",
            hint='task="regression" learns other numbers',
        )
