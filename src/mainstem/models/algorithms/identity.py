"""What a candidate is, as plain data: a change of it is a change of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from types import FunctionType
from typing import Any

import numpy as np

from mainstem.errors import DefinitionError
from mainstem.graph.fingerprint import digest, of_function
from mainstem.models.algorithms.registry import ALGORITHMS

PLAIN = (str, int, float, bool, bytes, complex, type(None))


def identity(value: Any) -> Any:
    """Return plain data that is equal for equal values, in every process.

    Estimators are their class and parameters, dataclasses their fields, functions their code, arrays their bytes. A
    registered algorithm without parameters is its class and its name.
    Raises `DefinitionError` for an object that shows none of these.
    """
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): identity(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(each) for each in value]
    if isinstance(value, (set, frozenset, range, slice)):
        return repr(sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value)
    if isinstance(value, np.ndarray):
        return {"array": str(value.dtype), "shape": list(value.shape), "sha256": _hash(value)}
    if isinstance(value, type):
        return _class(value)
    if isinstance(value, FunctionType):
        return {"function": value.__name__, "code": of_function(value)}
    if callable(getattr(value, "get_params", None)):
        return {"class": _class(type(value)), **identity(value.get_params(deep=False))}
    if is_dataclass(value):
        told = [f.name for f in fields(value) if "aside" not in f.metadata]
        return {"class": _class(type(value)), **{name: identity(getattr(value, name)) for name in told}}
    for name, registered in ALGORITHMS.items():
        if registered is value:
            return {"class": _class(type(value)), "registered": name}
    shown = repr(value)
    if " at 0x" not in shown:
        return {"class": _class(type(value)), "is": shown}
    raise DefinitionError(
        "a candidate cannot be told from a changed one",
        got=shown,
        expected="an object with `get_params`, or a frozen dataclass",
        hint=f"@dataclass(frozen=True) above {type(value).__name__}, or register it and give its name",
    )


def _class(kind: type) -> str:
    """Return a class by its place; of a class that the project may change, with its code."""
    place = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__.partition(".")[0] in ("sklearn", "numpy", "scipy", "builtins", "mainstem"):
        return place
    methods = {name: each for name, each in vars(kind).items() if isinstance(each, FunctionType)}
    return f"{place} {digest(*(name + of_function(methods[name]) for name in sorted(methods)))}"


def _hash(value: Any) -> str:
    return sha256(repr(value.tolist()).encode() if value.dtype == object else value.tobytes()).hexdigest()
