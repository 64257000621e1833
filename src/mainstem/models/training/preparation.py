"""What was done with each input: in words, for the card and the report of a version."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mainstem.models.algorithms.estimators import EstimatorScore
from mainstem.models.algorithms.linear_boosting import LinearBoostingScore
from mainstem.models.algorithms.quantiles import QuantilesScore
from mainstem.models.algorithms.sampled import Corrected
from mainstem.models.artifact.manifest import Preparation
from mainstem.models.data.columns import split_inputs
from mainstem.models.engineering import EngineeredScore
from mainstem.models.engineering.fitting import Inputs
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
        done = [_done(each, _place(each.made, numbers[column.name])) for each in members]
        left = all(left for *_, left in done)
        kind = "text" if column.type == "string" else "number"
        found.append(Preparation(column.name, kind, _words(done), left, column.name in declared))
    return (*found, *_created(members))


def _place(made: Inputs | None, number: int) -> int | str:
    """Return the number of an input for the algorithm, or why it is left out before it."""
    if made is None:
        return number
    before = number if number < made.width else number + len(made.names)
    if before in made.left:
        return made.left[before]
    if number < made.width:
        return int(np.flatnonzero(made.floats == number)[0])
    return len(made.floats) + int(np.flatnonzero(made.strings == number - made.width)[0])


def _created(members: Sequence[Member]) -> Iterator[Preparation]:
    """Yield what is done with each feature that a fit made: those of members of an ensemble, one after the other."""
    for each in members:
        made = each.made
        for at, (name, why) in enumerate(made.names if made is not None else (), made.width if made else 0):
            left = made.left.get(at) if made is not None else None
            floats = made.floats.tolist() if made is not None else []
            _, done, gone = ("", left, True) if left else _done(each, floats.index(at))
            own = f"{each.label}: {name}" if each.label else name
            yield Preparation(own, "made", f"{why}; {done}", gone)


@dataclass(frozen=True, eq=False)
class Member:
    """A member's name, its preprocessor, and what was made of the inputs before it."""

    label: str
    fitted: Composed | None
    made: Inputs | None

    @cached_property
    def told(self) -> Mapping[int, str]:
        return {} if self.fitted is None else self.fitted.told()


Done = tuple[str, str, bool]
"""A member's name, what it does with an input, and whether it leaves the input out."""


def _members(label: str, estimator: Any, made: Inputs | None = None) -> Iterator[Member]:
    """Yield the preprocessor of each member of an estimator by name; None for a pipeline that has its own."""
    match estimator:
        case CalibratedScore() | Corrected():
            yield from _members(label, estimator.of, made)
        case EngineeredScore():
            yield from _members(label, estimator.of, estimator.inputs)
        case LinearBoostingScore():
            yield from _members(f"{label}, linear" if label else "linear", estimator.line, made)
            yield from _members(f"{label}, trees" if label else "trees", estimator.trees, made)
        case QuantilesScore():  # they are fitted on the same rows
            yield from _members(label, next(iter(estimator.parts.values())), made)
        case EnsembleScore():
            for name, (_, member) in zip(estimator.names, estimator.members, strict=True):
                yield from _members(name, member)
        case EstimatorScore():
            matrix = estimator.prepared.matrix
            yield Member(label, matrix if isinstance(matrix, Composed) else None, made)
        case _ if isinstance(found := getattr(estimator, "fitted", None), Composed):
            yield Member(label, found, made)


def _done(member: Member, number: int | str) -> Done:
    label, found = member.label, member.fitted
    if isinstance(number, str):
        return label, number, True
    if found is None:
        return label, OWN, False
    if number in found.left:
        return label, found.left[number], True
    return label, member.told[number], False


def _words(done: Sequence[Done]) -> str:
    words = {each for _, each, _ in done}
    return words.pop() if len(words) == 1 else "; ".join(f"{label}: {each}" for label, each, _ in done)
