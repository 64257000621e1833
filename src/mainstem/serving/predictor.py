"""From a request to a score: online features, on-demand features, the model; over many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np

from mainstem.features.online.view import OnlineView, Query, Reading, read_together
from mainstem.features.plan import TIME, Computation, FeaturePlan
from mainstem.features.views.view import Lookup
from mainstem.logs.records import Prediction
from mainstem.models.scorer import Scorer
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.instants import INSTANT, instant_of, micros_of
from mainstem.nodes.records import ModelVersion, now
from mainstem.ports import Writer
from mainstem.serving.prediction_log import append
from mainstem.streaming.rows import RowSchema, iso

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Answer:
    """One prediction. `time` is when it is made (µs); `score` is P(true), a value, or the probability of `label`.
    `scores` are the probabilities of all classes, where there are several.

    `row` is what is logged: the request and every feature; instants in it are µs. `features` are shown: ISO 8601.
    """

    id: str
    time: int
    score: float | None
    decision: bool | None
    label: str | None
    features: Mapping[str, Any]
    row: Mapping[str, Any]
    flags: tuple[str, ...]
    scores: Mapping[str, float] = field(default_factory=dict)


class Predictor:
    """An endpoint with its champion. Safe to use from several threads.

    Parameters: the endpoint's name and node, how its model's features are found, the online state of every view among
    them by name, the champion, its scorer, and the examples' key (column → type), which requests may carry so that
    outcomes can be joined; `floor` is the number of predictions that are in the lake; `redefined` are features that the
    champion was trained on otherwise, which every answer says.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        plan: FeaturePlan,
        views: Mapping[str, OnlineView],
        version: ModelVersion,
        scorer: Scorer,
        key: Mapping[str, str],
        floor: int = 0,
        redefined: Sequence[str] = (),
    ) -> None:
        self.name, self.plan, self.version, self.scorer = name, plan, version, scorer
        self.threshold, self.description = endpoint.threshold, endpoint.description
        self.budget, self._floor = endpoint.budget, floor
        self.views, self._flags = views, [f"redefined:{feature}" for feature in redefined]
        self._inputs = tuple(column.name for column in version.inputs)
        self._instants = tuple(name for name, type in plan.columns.items() if type.startswith("timestamp"))
        keys = {column for step in plan.lookups for column in step.on} & plan.request.keys()
        optional = {column: type for column, type in key.items() if column not in plan.request}
        self.schema = RowSchema(
            plan.request, required=tuple(keys), optional={**optional, TIME: INSTANT}, where=f"endpoint {name}"
        )

    def predict(self, rows: Sequence[Any], at: int | None = None) -> list[Answer]:
        """One answer per row, in order, as of the row's own `time`, else `at` (µs), else now.

        Raises `RequestError` for the first row that is not as the schema says, or asks for too early a time.
        """
        checked = self.schema.check(rows)
        present = micros_of(now()) if at is None else at
        times = [row.pop(TIME, present) for row in checked]
        columns, flags = self.features(checked, times)
        scores = self.scorer.score({name: columns[name] for name in self._inputs})
        return self._answers(checked, times, columns, flags, scores)

    def features(self, rows: Sequence[Mapping[str, Any]], times: Sequence[int]) -> tuple[Columns, list[list[str]]]:
        """The request's fields and every feature, as columns; and what is to be said of each row."""
        columns: Columns = {name: [row[name] for row in rows] for name in self.plan.request}
        flags = [[*self._flags] for _ in rows]
        for step in self.plan.rounds:
            if isinstance(step, Computation):
                self._compute(step, columns)
            else:
                self._look_up(step, columns, times, flags)
        return columns, flags

    def _look_up(self, steps: Sequence[Lookup], columns: Columns, times: Sequence[int], flags: list[list[str]]) -> None:
        asked = [list(zip(*(columns[column] for column in step.on), times, strict=True)) for step in steps]
        distinct = [list(dict.fromkeys(each)) for each in asked]  # the flights of an hour share an airport
        queries = [
            Query(self.views[step.view.name], [key for *key, _ in each], [time for *_, time in each])
            for step, each in zip(steps, distinct, strict=True)
        ]
        for step, every, each, found in zip(steps, asked, distinct, read_together(queries), strict=True):
            known = dict(zip(each, found, strict=True))
            self._bring(step, [known[one] for one in every], columns, flags)

    def _bring(self, step: Lookup, readings: Sequence[Reading], columns: Columns, flags: list[list[str]]) -> None:
        for name, feature in step.columns.items():
            columns[name] = [reading.values[feature.name] for reading in readings]
        for reading, said in zip(readings, flags, strict=True):
            if reading.missing:
                said.append(f"unknown:{step.prefix}")

    def _compute(self, step: Computation, columns: Columns) -> None:
        columns.update(step.function.batch({name: columns[name] for name in step.inputs}))

    def _answers(
        self,
        rows: Sequence[Mapping[str, Any]],
        times: Sequence[int],
        columns: Columns,
        flags: Sequence[Sequence[str]],
        scores: Any,
    ) -> list[Answer]:
        names = list(self.plan.columns)
        values = zip(*(columns[name] for name in names), strict=True) if names else [()] * len(rows)
        found = []
        for row, time, features, said, score in zip(rows, times, values, flags, scores, strict=True):
            used = dict(zip(names, features, strict=True))
            number, label = self._scored(score)
            found.append(
                Answer(
                    id=uuid4().hex,
                    time=time,
                    score=number,
                    decision=None if self.threshold is None or number is None else number >= self.threshold,
                    label=label,
                    features=self._shown(used),
                    row={**row, **used},
                    flags=tuple(said),
                    scores=self._classed(score),
                )
            )
        return found

    def _scored(self, score: Any) -> tuple[float | None, str | None]:
        if np.ndim(score) == 0:
            number = float(score)
            return (number if np.isfinite(number) else None), None
        best = int(np.argmax(score))
        return float(score[best]), self.scorer.classes[best]

    def _classed(self, score: Any) -> dict[str, float]:
        if np.ndim(score) == 0:
            return {}
        return {name: float(one) for name, one in zip(self.scorer.classes, score, strict=True)}

    def _shown(self, used: Mapping[str, Any]) -> Mapping[str, Any]:
        instants = {name: used[name] for name in self._instants if used[name] is not None}
        return {**used, **{name: iso(instant_of(t)) for name, t in instants.items()}}

    def logged(self, answers: Sequence[Answer]) -> Callable[[Writer], int]:
        """What logs the answers, within a transaction."""
        at = micros_of(now())
        predictions = [
            Prediction(
                a.id, a.time, at, self.version.id, dict(a.row), a.score, ",".join(a.flags), dict(a.scores), a.decision
            )
            for a in answers
        ]
        return lambda writer: append(writer, self.name, predictions, self._floor)
