"""Explain predictions: the contributions of the inputs to a score, beside rows that the version learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from mainstem.models.evaluation.explained import explained
from mainstem.nodes.explanations import Explanation
from mainstem.nodes.instants import micros_of
from mainstem.project.background import background
from mainstem.project.branch import Branch
from mainstem.project.live import predictor_of


def explain(
    branch: Branch, name: str, rows: Sequence[Mapping[str, Any]], time: datetime | None = None
) -> list[Explanation]:
    """Return an explanation for each row. Raises `RequestError`, and `NotFound` if the version's rows are gone."""
    predictor = predictor_of(branch, name)
    answers = predictor.predict([dict(row) for row in rows], None if time is None else micros_of(time))
    version, scorer = predictor.version, predictor.scorer
    beside = background(branch, version)
    columns = {column.name: [answer.row[column.name] for answer in answers] for column in version.inputs}
    matrix = scorer.matrix(columns)
    return [
        explained(version, scorer, matrix.take(np.array([i])), beside, {n: v[i] for n, v in columns.items()})
        for i in range(len(answers))
    ]
