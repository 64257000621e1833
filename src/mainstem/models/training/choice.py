"""What a training chose, as plain data: the candidate with its settings, from which it can be fitted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from mainstem.errors import MainstemError, ModelError
from mainstem.graph.fingerprint import digest
from mainstem.models.algorithms import Candidate, algorithm, candidates
from mainstem.models.algorithms.base import Settings
from mainstem.models.algorithms.estimators import SklearnEstimator
from mainstem.models.algorithms.identity import identity
from mainstem.models.algorithms.settings import Declared
from mainstem.models.data.rows import Examples
from mainstem.models.engineering import Engineered
from mainstem.models.evaluation.comparison import Comparison
from mainstem.models.search import calibration
from mainstem.models.search.calibration import Calibrated
from mainstem.models.search.ensemble import Ensemble, Member
from mainstem.models.training.choosing import content
from mainstem.nodes import engineering

Plain = Mapping[str, Any]

BEYOND = "beyond"
"""In a choice: an engine fitted the trees, on rows that this process does not hold."""


def recorded(compared: Comparison, examples: Examples) -> dict[str, Any]:
    """Return the best candidate of a comparison as plain data, and a hash of the labelled rows."""
    chosen = compared.ranked[0]
    return {
        "name": chosen.name,
        "made": _plain(chosen.algorithm),
        "settings": _numbers(compared.settings[chosen.name]),
        "rows": content(examples),
    }


def comparison(choice: Plain, declared: Sequence[Any]) -> Comparison:
    """Return a comparison with the recorded candidate alone. `declared` are the model's candidates of today.

    Raises `ModelError` for one that is not among them any more.
    """
    found = Candidate(choice["name"], _made(choice["made"], declared))
    return Comparison((found,), {found.name: ()}, {found.name: dict(choice["settings"])}, 0)


def _plain(made: Any) -> dict[str, Any]:
    match made:
        case Calibrated():
            by = {name: _value(each) for name, each in _fields(made.by).items()}
            return {"calibrated": type(made.by).__name__, "by": by, "of": _plain(made.of)}
        case Ensemble():
            return {"ensemble": [_member(each) for each in made.members]}
        case Engineered():
            steps = [[type(each).__name__, _fields(each)] for each in made.engineer]
            select = None if made.select is None else _fields(made.select)
            return {"engineer": steps, "select": select, "of": _plain(made.of)}
        case Declared() if made.name and isinstance(made, type(algorithm(made.name))):
            return {"algorithm": made.name, "settings": made.chosen}
    found = getattr(made, "chosen", {}) if isinstance(made, (Declared, SklearnEstimator)) else {}
    return {"declared": _identity(made), **({"settings": found} if found else {})}


def _member(each: Member) -> dict[str, Any]:
    of = _plain(each.candidate.algorithm)
    return {"weight": each.weight, "name": each.candidate.name, "settings": _numbers(each.settings), "of": of}


def _made(plain: Plain, declared: Sequence[Any]) -> Any:
    if "calibrated" in plain:
        kind = getattr(calibration, plain["calibrated"])
        by = {name: np.array(each) if isinstance(each, list) else each for name, each in plain["by"].items()}
        return Calibrated(_made(plain["of"], declared), kind(**by))
    if "ensemble" in plain:
        return Ensemble(
            tuple(
                Member(each["weight"], Candidate(each["name"], _made(each["of"], declared)), each["settings"])
                for each in plain["ensemble"]
            )
        )
    if "engineer" in plain:
        steps = tuple(getattr(engineering, name)(**_tuples(given)) for name, given in plain["engineer"])
        select = None if plain["select"] is None else engineering.Selection(**plain["select"])
        return Engineered(_made(plain["of"], declared), steps, select)
    if "algorithm" in plain:
        found: Any = algorithm(plain["algorithm"])
        return found.with_settings(**_tuples(plain["settings"]))
    for each in candidates(declared):
        for made in (each.algorithm, *_set(each.algorithm, plain.get("settings", {}))):
            if _identity(made) == plain["declared"]:
                return made
    raise ModelError(
        "the candidate that was chosen is not declared any more",
        expected="the estimator or algorithm of one's own, as it was when the version was trained",
        hint="check out the project as it was",
    )


def _set(made: Any, settings: Plain) -> Sequence[Any]:
    """Return an algorithm with settings that a search found; nothing if it has no such settings."""
    if not settings or not isinstance(made, (Declared, SklearnEstimator)):
        return ()
    try:
        return (made.with_settings(**_tuples(settings)),)
    except MainstemError:
        return ()


def _identity(made: Any) -> str:
    return digest(repr(identity(made)))


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _value(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else float(value)


def _numbers(settings: Settings) -> dict[str, float]:
    return {name: float(value) for name, value in settings.items()}


def _tuples(given: Plain) -> dict[str, Any]:
    """Return values with tuples again, which are lists in JSON."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
