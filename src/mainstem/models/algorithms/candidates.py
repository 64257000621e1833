"""Candidates as users give them: a name, an algorithm with settings, an estimator of scikit-learn, or one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.errors import DefinitionError
from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Algorithm
from mainstem.models.algorithms.elastic_net import ElasticNet
from mainstem.models.algorithms.estimators import SklearnEstimator, is_estimator, sklearn
from mainstem.models.algorithms.identity import identity
from mainstem.models.algorithms.linear_boosting import LinearBoosting
from mainstem.models.algorithms.registry import ALGORITHMS, PLACED, algorithm, check_name, check_parts
from mainstem.models.algorithms.settings import Declared
from mainstem.nodes.models import Task

USUAL = ("linear", "lightgbm")
"""The candidates of a model that declares none."""

WIDE = 5
"""Rows for each input below which a sparse linear model is tried too."""

MANY = 20
"""Inputs from which a table counts as wide."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """An algorithm under the name that leaderboards show."""

    name: str
    algorithm: Algorithm


def candidate(value: Any) -> Candidate:
    """Return a candidate. Raises `UnknownName`, `PluginError`, and `DefinitionError` for an object that is not one."""
    if isinstance(value, Candidate):
        return value
    if isinstance(value, str):
        return Candidate(value, algorithm(value))
    made = sklearn(value) if is_estimator(value) and not isinstance(value, Declared) else value
    check_parts(type(value).__name__, made)
    return Candidate(_label(made), made)


def candidates(values: Sequence[Any]) -> tuple[Candidate, ...]:
    """Return candidates with distinct names: of equal ones, the second and later are numbered."""
    found: dict[str, Candidate] = {}
    for each in map(candidate, values):
        name, number = each.name, 1
        while name in found:
            number += 1
            name = f"{each.name} {number}"
        found[name] = Candidate(name, each.algorithm)
    return tuple(found.values())


def usual(
    rows: int, inputs: int, *, monotone: bool, growing: bool = False, positive: bool = False, task: Task = "regression"
) -> tuple[Any, ...]:
    """Return the candidates of a model that declares none, given its rows to learn from and its inputs.

    `growing`: numbers go on beyond what was learned from, and the target is a number; `positive`, and above 0.
    """
    if monotone:
        return ("lightgbm",)
    wide = inputs >= MANY and rows < WIDE * inputs and task in ElasticNet.tasks
    found: tuple[Any, ...] = ("linear", "elastic_net", "lightgbm") if wide else USUAL
    if growing:
        found += ("linear_boosting", *((LinearBoosting(log=True),) if positive else ()))
    return found


def check(
    value: Any, task: Task, *, monotone: bool = False, prepared: bool = False, weighed: str | None = None
) -> None:
    """Refuse a candidate that is unknown or does not learn the task, without importing a package of others.

    `weighed` is the setting of the model that weighs rows, if there is one.

    Raises `UnknownName`, `DefinitionError`, `MissingExtra`.
    """
    if isinstance(value, str):
        check_name(value)
        if value not in ALGORITHMS and value not in PLACED:
            return
    found = candidate(value)
    if isinstance(found.algorithm, SklearnEstimator):
        libraries.check("skl2onnx", "skl2onnx", "sklearn")
        found.algorithm.check(task)
        if weighed:
            found.algorithm.check_weights(weighed)
    if extra := getattr(found.algorithm, "extra", None):
        libraries.check(extra, extra, extra)
    if is_beyond(found.algorithm):
        libraries.check("pyspark", "pyspark", "spark")
        libraries.check("sklearn", "scikit-learn", "learn")
    tasks = getattr(found.algorithm, "tasks", None)
    if tasks is not None and task not in tasks:
        able = [name for name, each in ALGORITHMS.items() if task in getattr(each, "tasks", ()) and name != "naive"]
        raise DefinitionError(
            f"{found.name} does not learn the task {task!r}",
            got=f"it learns {' or '.join(map(repr, tasks))}",
            expected=f"candidates among {', '.join(able)}",
        )
    if prepared and not getattr(found.algorithm, "prepares", False):
        raise DefinitionError(
            f"`prepare` does not reach {found.name}",
            got="a candidate that prepares its inputs itself",
            expected="candidates that Mainstem prepares inputs for",
            hint='ms.sklearn(…, inputs="scaled") without its own preparation, or leave out `prepare`',
        )
    if monotone and task not in getattr(found.algorithm, "monotone", ()):
        able = [name for name, each in ALGORITHMS.items() if task in getattr(each, "monotone", ()) and name != "naive"]
        raise DefinitionError(
            f"{found.name} keeps no monotone constraint",
            got=f"`monotone`, and the task {task!r}",
            expected=f"candidates among {', '.join(able)}" if able else "a binary target or a number",
        )


def is_beyond(made: Any) -> bool:
    """Return whether an algorithm, or one that it is made of, is fitted on rows that this process does not hold."""
    if getattr(made, "composed", False):
        parts = [getattr(made, "of", None), *(each.candidate.algorithm for each in getattr(made, "members", ()))]
        return any(map(is_beyond, parts))
    return isinstance(made, Declared) and getattr(made, "on", None) is not None


def plain(value: Any) -> Any:
    """Return a candidate as plain data. A name is itself, and so is an algorithm without settings of its own."""
    if isinstance(value, str):
        return value
    space = {"space": {name: each.plain for name, each in value.within}} if getattr(value, "within", ()) else {}
    if isinstance(value, Declared):
        return {"algorithm": value.name, **identity(value.chosen), **space} if value.chosen or space else value.name
    if isinstance(value, SklearnEstimator) or is_estimator(value):
        found = value if isinstance(value, SklearnEstimator) else sklearn(value)
        return {"estimator": identity(found.estimator), "inputs": found.inputs, **space}
    return identity(value)


def _label(made: Any) -> str:
    return str(getattr(made, "label", None) or type(made).__name__)
