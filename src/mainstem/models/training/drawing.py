"""Draw the rows of a dataset that is larger than the budget in the engine, so that this process never holds all of it.

Each row is kept or not by a hash of its key, on its own: without a sort, and the same rows each time on one engine. So
the number of rows is near the budget, within a per mille or so of large ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainstem.models.data.labels import MOST_CLASSES
from mainstem.nodes.hidden import TARGET, T
from mainstem.nodes.models import CLASSES, Model, Task

if TYPE_CHECKING:
    import ibis

BUDGET = 5_000_000
"""The rows of a dataset that this process loads, if no setting says otherwise."""

LATER = 3.0
"""How much likelier the latest row of a class is drawn than its earliest one."""

_BUCKETS = 2**31


@dataclass(frozen=True)
class Stratum:
    """The rows of a class: their number, and the first and last prediction time in seconds, None without times."""

    label: str | None
    rows: int
    first: float | None
    last: float | None
    mean: float | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Stratum:
        return cls(row["label"], row["rows"], row["first"], row["last"], row["mean"])

    @property
    def timed(self) -> bool:
        return self.first is not None and self.last is not None and self.last > self.first

    def weight(self, time: Any) -> Any:
        """Return how likely a row of this time is drawn, relative to the earliest one."""
        assert self.first is not None and self.last is not None
        return 1 + (LATER - 1) * (time - self.first) / (self.last - self.first)


def may_draw(model: Model) -> bool:
    """Return whether rows stand alone. Those of a ranking and of a forecast's series belong together."""
    return model.query is None and not model.horizons


def strata(dataset: ibis.Table, task: Task) -> ibis.Table:
    """Return the query of the strata: one row for each class, or one of all rows. See `Stratum`."""
    time = dataset[T].epoch_seconds().cast("float64")
    rows = dataset.select(label=_label(dataset, task), at=time)
    found = rows.group_by("label").agg(
        rows=rows.count(), first=rows["at"].min(), last=rows["at"].max(), mean=rows["at"].mean()
    )
    return found.order_by("label").limit(MOST_CLASSES + 2)  # more of them are refused by whoever learns


def drawn(dataset: ibis.Table, key: Sequence[str], task: Task, found: Sequence[Stratum], budget: int) -> ibis.Table:
    """Return about `budget` rows of the dataset: each class has its share, and later rows are likelier."""
    return dataset.filter(_chosen(dataset, key, task, found, budget))


def rest(dataset: ibis.Table, key: Sequence[str], task: Task, found: Sequence[Stratum], budget: int) -> ibis.Table:
    """Return the rows that `drawn` leaves out."""
    return dataset.filter(~_chosen(dataset, key, task, found, budget))


def _chosen(dataset: ibis.Table, key: Sequence[str], task: Task, found: Sequence[Stratum], budget: int) -> Any:
    import ibis

    share = min(1.0, budget / sum(each.rows for each in found))
    time, label = dataset[T].epoch_seconds().cast("float64"), _label(dataset, task)
    chances = [(label.identical_to(each.label), _chance(each, time, share)) for each in found]
    chance = ibis.cases(*chances, else_=share) if len(chances) > 1 else chances[0][1]
    return (_uniform(dataset, key) < chance).fill_null(False)


def _chance(each: Stratum, time: ibis.Value, share: float) -> Any:
    import ibis

    if not each.timed:
        return ibis.literal(share)
    return (share / each.weight(each.mean) * each.weight(time)).fill_null(share)


def _label(dataset: ibis.Table, task: Task) -> ibis.Value:
    import ibis

    return dataset[TARGET].cast("string") if task in CLASSES else ibis.literal("")


def _uniform(dataset: ibis.Table, key: Sequence[str]) -> Any:
    """Return a number from 0 to 1 for each row, by its key and time, or by all columns without a key."""
    import ibis

    names = [*dict.fromkeys([*key, T])] if key else dataset.columns
    text = ibis.literal("|").join([dataset[name].cast("string").fill_null("") for name in names])
    # Engines hash to integers of other widths and signs.
    bucket = (text.hash() % _BUCKETS + _BUCKETS) % _BUCKETS
    return bucket.cast("float64") / _BUCKETS
