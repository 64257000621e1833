"""A case: predictions with their outcomes, and everything needed to search for causes of a loss. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import numpy as np

from mainstem.feedback.attribution import Floats, Labelled, Score
from mainstem.models.metrics import Array, Metric, difference, metric
from mainstem.monitoring.drift import Sample
from mainstem.monitoring.history import clusters
from mainstem.monitoring.partition import Batch, Watched, held_out
from mainstem.nodes.endpoints import Drift
from mainstem.nodes.findings import Recovery
from mainstem.nodes.instants import instant_of
from mainstem.nodes.models import Task
from mainstem.nodes.records import InputColumn


@dataclass(frozen=True)
class Case:
    """Rows with outcomes, in order of time, and the scores that were `served` for them.

    `reference` are test rows of the live version. `history` are the inputs of all its labelled rows. `score` is its
    artifact. `before` is the one that has not seen the reference: losses on both sides are compared with it.
    """

    rows: Labelled
    served: Floats
    reference: Labelled
    history: Sample
    inputs: tuple[InputColumn, ...]
    score: Score
    metric: Metric
    task: Task = "binary"
    before: Score | None = None
    drift: Drift = field(default_factory=lambda: Drift())

    @classmethod
    def of(cls, watched: Watched, batch: Batch, score: Score, before: Score | None = None) -> Case:
        """Return the rows of `batch` with known outcomes. Raises `UnknownName` if the version's metric is gone."""
        version, known = watched.version, batch.take(batch.known)
        dataset = watched.dataset()
        unseen = held_out(dataset)
        task = cast(Task, version.task)
        return cls(
            Labelled(known.inputs, known.outcomes),
            known.scores,
            Labelled(unseen.inputs, unseen.outcomes),
            dataset.inputs,
            version.inputs,
            score,
            metric(version.metric, task),
            task,
            before,
            next((m for m in watched.endpoint.monitors if isinstance(m, Drift)), Drift()),
        )

    @property
    def window(self) -> tuple[datetime, datetime]:
        """The first and the last prediction time."""
        return instant_of(int(self.rows.inputs.times[0])), instant_of(int(self.rows.inputs.times[-1]))

    @property
    def unseeing(self) -> Score:
        """The artifact that has not seen the reference."""
        return self.before or self.score

    def rescored(self, columns: Mapping[str, Array]) -> Array:
        """Return the scores of the same artifact with some inputs replaced."""
        return self.score(self.rows.with_columns(columns).inputs.columns)

    def value(self, scores: Array) -> float:
        """Return the metric on the rows."""
        return self.metric.value(self.rows.outcomes, scores)

    def recovery(self, scores: Array) -> Recovery:
        """Return the metric as served and with other scores, and the difference. Days are resampled as wholes."""
        groups = clusters(self.rows.inputs.times)
        gained = difference(self.metric, self.rows.outcomes, np.asarray(scores), self.served, groups=groups)
        return Recovery(self.value(self.served), self.value(scores), gained)
