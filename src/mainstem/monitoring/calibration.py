"""Calibration: whether scores mean what they say, as a metric with a ceiling."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.errors import DefinitionError
from mainstem.nodes.endpoints import Calibration, Performance

METRIC: Mapping[str, str] = {"binary": "ece", "multiclass": "ece", "quantile": "coverage_error"}
"""The metric of each task whose scores can be calibrated."""


def calibrated(rule: Calibration, task: str) -> Performance:
    """Return the monitor of the metric that a calibration monitor stands for."""
    return Performance(rule.tolerance, METRIC[task], rule.min_rows, rule.mature)


def check_calibration(task: str, where: str) -> None:
    """Refuse a task whose scores are no probabilities or quantiles. Raises `DefinitionError`."""
    if task not in METRIC:
        raise DefinitionError(
            "`ms.calibration` needs probabilities or quantiles",
            where=where,
            got=f"a model of the task {task}",
            expected=f"one of {', '.join(METRIC)}",
            hint="ms.performance(floor, metric=…) watches the error of values",
        )
