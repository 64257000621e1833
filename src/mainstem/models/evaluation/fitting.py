"""Fit a candidate, and say which one it was if that fails: anybody can write an algorithm."""

from __future__ import annotations

import numpy as np

from mainstem.errors import MainstemError, ModelError
from mainstem.models.algorithms import algorithm
from mainstem.models.algorithms.base import Estimator, Settings
from mainstem.models.data.rows import Examples, Rows, Scores

PARTS = ("scores", "onnx", "importances", "settings")


def fitted(name: str, examples: Examples, settings: Settings | None = None) -> Estimator:
    """Return a fitted candidate. Raises `ModelError` if the algorithm fails, or gives something else."""
    try:
        found = algorithm(name).fit(examples, settings)
    except MainstemError:
        raise
    except Exception as problem:
        raise _failed(name, "cannot be fitted", problem, examples) from problem
    missing = [part for part in PARTS if not hasattr(found, part)]
    if missing:
        raise ModelError(
            f"the algorithm {name!r} does not give an estimator",
            got=f"{type(found).__name__} without {missing[0]!r}",
            expected=f"an object with {', '.join(PARTS)}: mainstem.models.algorithms.base.Estimator",
        )
    return found


def scored(name: str, estimator: Estimator, rows: Rows, examples: Examples) -> Scores:
    """Return the scores of rows. Raises `ModelError` if the estimator fails, or if they have another shape."""
    try:
        scores = np.asarray(estimator.scores(rows), float)
    except MainstemError:
        raise
    except Exception as problem:
        raise _failed(name, "cannot score", problem, examples) from problem
    expected = (len(rows), examples.classes) if examples.task == "multiclass" else (len(rows),)
    if scores.shape != expected:
        raise ModelError(
            f"the scores of the algorithm {name!r} have the wrong shape",
            got=str(scores.shape),
            expected=f"{expected}: {_MEANING[examples.task]}",
        )
    return scores


_MEANING = {"binary": "P(true)", "multiclass": "the probability of each class", "regression": "values"}


def _failed(name: str, what: str, problem: Exception, examples: Examples) -> ModelError:
    return ModelError(
        f"the algorithm {name!r} {what}",
        got=f"{type(problem).__name__}: {problem}",
        expected=f"{examples.task}, {len(examples):,} rows",
        hint=f"leave it out of candidates=[…], or correct {name!r}; the traceback is the cause of this error",
    )
