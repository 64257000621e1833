"""The declared answers to requests that were late: the store is not read, and no model scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mainstem.nodes.latencies import LATE
from mainstem.nodes.overrides import FALLBACK
from mainstem.serving.answer import Answer
from mainstem.serving.choosing import ChoosingPredictor
from mainstem.serving.predictor import Log, Predictor


def size_of(rows: Sequence[Any]) -> int:
    """Return how much the rows of a request are to check: each row, and each element of its lists."""
    lists = (value for row in rows if isinstance(row, dict) for value in row.values() if isinstance(value, list))
    return len(rows) + sum(map(len, lists)) // 10


def instead(predictor: Predictor, rows: Sequence[Any], at: int | None) -> tuple[Sequence[Any], Log[Any]]:
    """Return the declared answers to requests, and what logs them within a transaction. Raises `RequestError`."""
    checked = predictor.checked(rows)
    times = predictor.timed(checked, at)
    if isinstance(predictor, ChoosingPredictor):
        chosen = predictor.unranked(checked, times, LATE)
        return chosen, predictor.chosen(chosen)
    answers = declared(predictor, checked, times)
    return answers, predictor.logged(answers)


def declared(predictor: Predictor, rows: Sequence[Mapping[str, Any]], times: Sequence[int]) -> list[Answer]:
    """Return the declared answers to checked rows."""
    answers = [predictor.unscored(row, time, LATE) for row, time in zip(rows, times, strict=True)]
    if predictor.policy is None:
        return [replace(each, decision=predictor.otherwise, noted=(FALLBACK,)) for each in answers]
    return predictor.decided(answers, reading=False)
