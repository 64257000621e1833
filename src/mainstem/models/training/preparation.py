"""What was done with each input: in words, for the card and the report of a version."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Any

from mainstem.models.algorithms.estimators import EstimatorScore
from mainstem.models.algorithms.quantiles import QuantilesScore
from mainstem.models.algorithms.sampled import Corrected
from mainstem.models.artifact.manifest import Preparation
from mainstem.models.data.columns import split_inputs
from mainstem.models.preprocessing import Composed
from mainstem.models.search.calibration import CalibratedScore
from mainstem.models.search.ensemble import EnsembleScore
from mainstem.nodes.records import InputColumn

OWN = "by name, as it is: the pipeline prepares it"


def preparation(estimator: Any, inputs: Sequence[InputColumn], declared: Container[str]) -> tuple[Preparation, ...]:
    """Return what the estimator does with each input; nothing of one that does not tell. The members of an ensemble
    are told apart where they differ. `declared` are the inputs whose step the user chose."""
    numbers = {name: number for number, name in enumerate(name for block in split_inputs(inputs) for name in block)}
    members = list(_members("", estimator))
    if not members:
        return ()
    found = []
    for column in inputs:
        done = [_done(label, fitted, numbers[column.name]) for label, fitted in members]
        left = all(left for *_, left in done)
        kind = "text" if column.type == "string" else "number"
        found.append(Preparation(column.name, kind, _words(done), left, column.name in declared))
    return tuple(found)


Done = tuple[str, str, bool]
"""A member's name, what it does with an input, and whether it leaves the input out."""


def _members(label: str, estimator: Any) -> Iterator[tuple[str, Composed | None]]:
    """Yield the preprocessor of each member of an estimator by name; None for a pipeline that has its own."""
    match estimator:
        case CalibratedScore() | Corrected():
            yield from _members(label, estimator.of)
        case QuantilesScore():  # they are fitted on the same rows
            yield from _members(label, next(iter(estimator.parts.values())))
        case EnsembleScore():
            for name, (_, member) in zip(estimator.names, estimator.members, strict=True):
                yield from _members(name, member)
        case EstimatorScore():
            matrix = estimator.prepared.matrix
            yield label, matrix if isinstance(matrix, Composed) else None
        case _ if isinstance(found := getattr(estimator, "fitted", None), Composed):
            yield label, found


def _done(label: str, found: Composed | None, number: int) -> Done:
    if found is None:
        return label, OWN, False
    if number in found.left:
        return label, found.left[number], True
    return label, found.told()[number], False


def _words(done: Sequence[Done]) -> str:
    words = {each for _, each, _ in done}
    return words.pop() if len(words) == 1 else "; ".join(f"{label}: {each}" for label, each, _ in done)
