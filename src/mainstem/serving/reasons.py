"""Reasons: the inputs that moved a score most, on request. They are computed from an answer, and never logged: the log
has every input of a prediction, so that `project.explain` computes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from mainstem.errors import RequestError, Unavailable
from mainstem.masking import brief_value
from mainstem.models.data.rows import Rows
from mainstem.models.evaluation.explained import explained
from mainstem.nodes.records import ModelVersion
from mainstem.serving.answer import Answer
from mainstem.serving.choosing import Chosen
from mainstem.serving.forecasting import Forecasted
from mainstem.serving.predictor import Predictor

MOST_REASONS = 20
"""The most reasons of one prediction."""

MOST_EXPLAINED = 20
"""The most predictions that one request may ask reasons for. Each costs some thousand scored rows."""

KEPT = 8
"""The versions whose background rows are kept in memory."""

Background = Callable[[ModelVersion], Rows]
"""Returns the rows that the predictions of a version are compared with."""

Reason = dict[str, Any]
"""`input`, its `value`, and its `effect`: how much it moves the score, in the unit of the score."""


def no_background(version: ModelVersion) -> Rows:
    """Refuse to read rows. Raises `Unavailable`."""
    raise Unavailable("this server does not give reasons", expected="a server that mainstem serve starts")


class Reasons:
    """Gives reasons, one request at a time, in a thread of its own: they never delay an answer without reasons."""

    def __init__(self, background: Background = no_background) -> None:
        self._background = background
        self._rows: dict[str, Rows] = {}
        self._thread = ThreadPoolExecutor(1, "reasons")

    def close(self) -> None:
        """End the thread after its present work."""
        self._thread.shutdown(cancel_futures=True)

    def prepare(self, versions: Iterable[ModelVersion]) -> Future[None]:
        """Read the background rows of versions, once. Raises `NotFound` if a version's rows are gone."""
        return self._thread.submit(self._prepare, [*versions])

    def of(
        self, predictors: Mapping[str, Predictor], answers: Iterable[Any], count: int
    ) -> Future[dict[str, list[Reason]]]:
        """Return the reasons of each prediction by its id, given the predictors by the id of their version."""
        return self._thread.submit(self.now, predictors, answers, count)

    def now(self, predictors: Mapping[str, Predictor], answers: Iterable[Any], count: int) -> dict[str, list[Reason]]:
        """Do the same as `of`, in this thread."""
        each = [item for answer in answers for item in items_of(answer)]
        return {item.id: [] if item.late else self._one(predictors[item.version], item, count) for item in each}

    def _prepare(self, versions: Iterable[ModelVersion]) -> None:
        for version in versions:
            self._rows_of(version)

    def _one(self, predictor: Predictor, item: Answer, count: int) -> list[Reason]:
        version, scorer = predictor.version, predictor.scorer
        row = scorer.matrix({column.name: [item.row[column.name]] for column in version.inputs})
        shown = {**item.row, **item.features}
        found = explained(version, scorer, row.take(np.array([0])), self._rows_of(version), shown)
        return [{"input": c.input, "value": c.value, "effect": c.effect} for c in found.contributions[:count]]

    def _rows_of(self, version: ModelVersion) -> Rows:
        if version.id not in self._rows:
            found = self._background(version)
            self._rows = dict([*self._rows.items(), (version.id, found)][-KEPT:])
        return self._rows[version.id]


def items_of(answer: Answer | Chosen | Forecasted) -> tuple[Answer, ...]:
    """Return the predictions of an answer: itself, or each chosen candidate or horizon."""
    return (answer,) if isinstance(answer, Answer) else answer.items


def told(
    answer: Answer | Chosen | Forecasted, shown: dict[str, Any], reasons: Mapping[str, list[Reason]]
) -> dict[str, Any]:
    """Return an answer as plain data, which is `shown`, with the reasons of each of its predictions."""
    if isinstance(answer, Answer):
        return {**shown, "reasons": reasons[answer.id]}
    name = "decision" if isinstance(answer, Chosen) else "forecast"
    items = shown[name] if isinstance(shown[name], list) else [shown[name]]
    found = [{**each, "reasons": reasons[item.id]} for each, item in zip(items, answer.items, strict=False)]
    several = isinstance(shown[name], list)
    return {**shown, name: found if several else next(iter(found), None)}


def counted(value: Any, where: str) -> int:
    """Return how many reasons are asked for; 0 for None. Raises `RequestError`."""
    if value is None:
        return 0
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or not 0 <= int(text) <= MOST_REASONS:
        expected = f"a whole number up to {MOST_REASONS}"
        raise RequestError(
            "`reasons` is not a number of reasons", where=where, got=brief_value(value), expected=expected
        )
    return int(text)


def bounded(predictor: Predictor, rows: int, where: str) -> None:
    """Refuse to give reasons for too many predictions. Raises `RequestError`."""
    many = rows * predictor.each
    if many > MOST_EXPLAINED:
        raise RequestError(
            "reasons are asked for too many predictions",
            where=where,
            got=f"{many:,}",
            expected=f"up to {MOST_EXPLAINED}",
            hint="send fewer rows, or explain the logged ones with project.explain",
        )
