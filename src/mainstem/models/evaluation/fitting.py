"""Fit a candidate, and say which one it was if that fails: anybody can write an algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import MainstemError, ModelError
from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.base import Estimator, Settings
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.engineering import fit
from mainstem.nodes.models import WIDE

PARTS = ("scores", "onnx", "importances", "settings")


def fitted(candidate: Candidate, examples: Examples, settings: Settings | None = None) -> Estimator:
    """Return a fitted candidate. Raises `ModelError` if the algorithm fails, or gives something else."""
    name = candidate.name
    if examples.prepare and not getattr(candidate.algorithm, "prepares", False):
        raise ModelError(
            f"`prepare` does not reach the algorithm {name!r}",
            got="an algorithm without `prepares = True`: it prepares inputs itself",
            hint="leave it out of candidates=[…], or prepare its inputs by mainstem.models.preprocessing.fit",
        )
    with blamed(name, "cannot be fitted", examples):
        found = fit(candidate.algorithm, examples, settings)
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
    with blamed(name, "cannot score", examples):
        scores = np.asarray(estimator.scores(rows), float)
    expected = (len(rows), examples.classes) if examples.task in WIDE else (len(rows),)
    if scores.shape != expected:
        raise ModelError(
            f"the scores of the algorithm {name!r} have the wrong shape",
            got=str(scores.shape),
            expected=f"{expected}: {_MEANING[examples.task]}",
        )
    return scores


def settled(candidate: Candidate, found: Sequence[Settings], examples: Examples) -> Settings:
    """Return the settings of the final fit. Raises `ModelError` if the algorithm fails, or gives something else."""
    with blamed(candidate.name, "cannot settle", examples):
        settings = candidate.algorithm.settle(found)
    if not isinstance(settings, Mapping):
        raise ModelError(
            f"the algorithm {candidate.name!r} does not settle",
            got=repr(settings),
            expected="settings by name, {} for none",
        )
    return settings


def important(name: str, estimator: Estimator, examples: Examples) -> NDArray[np.float64]:
    """Return the importance of each input. Raises `ModelError` if the estimator fails, or tells another number."""
    inputs = examples.rows.width
    with blamed(name, "cannot tell what is important", examples):
        found = np.asarray(estimator.importances(inputs), float)
    if found.shape != (inputs,):
        raise ModelError(
            f"the importances of the algorithm {name!r} have the wrong shape",
            got=str(found.shape),
            expected=f"({inputs},): a share for each input, zeros if unknown",
        )
    return found


@contextmanager
def blamed(name: str, what: str, examples: Examples) -> Iterator[None]:
    """Turn an exception that Mainstem does not raise on purpose into a `ModelError` that names the algorithm."""
    try:
        yield
    except MainstemError:
        raise
    except Exception as problem:
        raise _failed(name, what, problem, examples) from problem


_MEANING = {
    "binary": "P(true)",
    "multiclass": "the probability of each class",
    "regression": "values",
    "count": "expected counts",
    "quantile": "a value for each quantile",
    "ranking": "numbers, of which higher ones come first",
}


def _failed(name: str, what: str, problem: Exception, examples: Examples) -> ModelError:
    return ModelError(
        f"the algorithm {name!r} {what}",
        got=f"{type(problem).__name__}: {problem}",
        expected=f"{examples.task}, {len(examples):,} rows",
        hint=f"leave it out of candidates=[…], or correct {name!r}; the traceback is the cause of this error",
    )
