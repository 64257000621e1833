"""From a request to a score: online features, on-demand features and the model, for many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np

from mainstem.features.online.view import OnlineView, Query, Reading, read_together
from mainstem.features.requests import Sent
from mainstem.features.retrieval import TIME, Computation, Retrieval
from mainstem.features.views.view import Lookup
from mainstem.logs.records import Prediction
from mainstem.models.artifact.scorer import Scorer
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.instants import INSTANT, instant_of, micros_of
from mainstem.nodes.records import ModelVersion, now
from mainstem.ports import Writer
from mainstem.serving.prediction_log import append
from mainstem.streaming.rows import RowSchema, iso

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Answer:
    """One prediction. `time` is the prediction time (µs). `score` is P(true), a value, or the probability of `label`.

    `scores` are the probabilities of all classes, if there are several. `row` is logged: the request and every feature,
    with instants in µs. `features` are shown: instants are ISO 8601.
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
    """An endpoint with its champion. It is thread-safe.

    Parameters: the endpoint's name and node, the feature plan of its model, the online views by name, the champion, its
    scorer, and what requests send: with the examples' key outcomes can be joined. `floor` is the number of predictions
    in the lake. `redefined` are features whose definition changed since the champion was
    trained; every answer reports them.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        retrieval: Retrieval,
        views: Mapping[str, OnlineView],
        version: ModelVersion,
        scorer: Scorer,
        sent: Sent,
        floor: int = 0,
        redefined: Sequence[str] = (),
    ) -> None:
        self.name, self.retrieval, self.version, self.scorer = name, retrieval, version, scorer
        self.threshold = scorer.manifest.threshold if endpoint.threshold is None else endpoint.threshold
        self.description = endpoint.description
        self.budget, self._floor = endpoint.budget, floor
        self.views, self._flags = views, [f"redefined:{feature}" for feature in redefined]
        self._inputs = tuple(column.name for column in version.inputs)
        self._instants = tuple(name for name, type in retrieval.columns.items() if type.startswith("timestamp"))
        keys = {column for action in retrieval.lookups for column in action.on} & retrieval.request.keys()
        self.schema = RowSchema(
            sent.fields, required=tuple(keys), optional={**sent.key, TIME: INSTANT}, where=f"endpoint {name}"
        )
        self._clean = sent.clean

    def predict(self, rows: Sequence[Any], at: int | None = None) -> list[Answer]:
        """Return one answer per row, in order, at the row's `time`, else `at` (µs), else now.

        Raises `RequestError` for the first row that does not fit the schema or has too early a time.
        """
        checked = self._clean(self.schema.check(rows))
        present = micros_of(now()) if at is None else at
        times = [row.pop(TIME, present) for row in checked]
        columns, flags = self.features(checked, times)
        scores = self.scorer.score({name: columns[name] for name in self._inputs})
        return self._answers(checked, times, columns, flags, scores)

    def features(self, rows: Sequence[Mapping[str, Any]], times: Sequence[int]) -> tuple[Columns, list[list[str]]]:
        """Return the request's fields and every feature as columns, and the flags of each row."""
        columns: Columns = {name: [row[name] for row in rows] for name in self.retrieval.request}
        flags = [[*self._flags] for _ in rows]
        for action in self.retrieval.rounds:
            if isinstance(action, Computation):
                self._compute(action, columns)
            else:
                self._look_up(action, columns, times, flags)
        return columns, flags

    def _look_up(
        self, actions: Sequence[Lookup], columns: Columns, times: Sequence[int], flags: list[list[str]]
    ) -> None:
        asked = [list(zip(*(columns[column] for column in action.on), times, strict=True)) for action in actions]
        distinct = [list(dict.fromkeys(each)) for each in asked]  # the flights of an hour share an airport
        queries = [
            Query(self.views[action.view.name], [key for *key, _ in each], [time for *_, time in each])
            for action, each in zip(actions, distinct, strict=True)
        ]
        for action, every, each, found in zip(actions, asked, distinct, read_together(queries), strict=True):
            known = dict(zip(each, found, strict=True))
            self._bring(action, [known[one] for one in every], columns, flags)

    def _bring(self, action: Lookup, readings: Sequence[Reading], columns: Columns, flags: list[list[str]]) -> None:
        for name, feature in action.columns.items():
            columns[name] = [reading.values[feature.name] for reading in readings]
        for reading, said in zip(readings, flags, strict=True):
            if reading.missing:
                said.append(f"unknown:{action.prefix}")

    def _compute(self, action: Computation, columns: Columns) -> None:
        columns.update(action.function.batch({name: columns[name] for name in action.inputs}))

    def _answers(
        self,
        rows: Sequence[Mapping[str, Any]],
        times: Sequence[int],
        columns: Columns,
        flags: Sequence[Sequence[str]],
        scores: Any,
    ) -> list[Answer]:
        names = list(self.retrieval.columns)
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
        """Return a function that logs the answers within a transaction."""
        at = micros_of(now())
        predictions = [
            Prediction(
                a.id, a.time, at, self.version.id, dict(a.row), a.score, ",".join(a.flags), dict(a.scores), a.decision
            )
            for a in answers
        ]
        return lambda writer: append(writer, self.name, predictions, self._floor)
