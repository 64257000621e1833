"""Declarations check their arguments: each parameter has a kind, and a call that does not fit is refused at its line.

    @declared(columns=columns(at_least=1), severity=SEVERITY)
    def not_null(*columns: str, severity: Severity = "error") -> NotNull: ...

Type hints were tried as the source of kinds and rejected: they know neither ranges nor durations, and `_` fits any.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from mainstem.errors import DefinitionError, close_matches
from mainstem.nodes.base import Origin
from mainstem.nodes.kinds import Kind, optional, text, words

P = ParamSpec("P")
R = TypeVar("R")

META: dict[str, Kind] = {"name": optional(text), "owner": optional(words), "description": optional(words)}
"""The parameters that every node has."""


def declared(**kinds: Kind | Mapping[str, Kind]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the decorated function's arguments: each parameter by its kind, further keywords by a mapping of kinds.

    A call that does not fit raises `DefinitionError` with the user's line, also for an unknown or missing argument.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        if unsaid := set(signature.parameters) ^ set(kinds):
            raise TypeError(f"{function.__name__}: no kind, or no parameter, for {', '.join(sorted(unsaid))}")

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs)
            except TypeError as problem:
                raise _misfit(function.__name__, signature, kwargs, problem) from None
            given.apply_defaults()
            for name, value in given.arguments.items():
                kind = kinds[name]
                if isinstance(kind, Mapping):
                    _further(function.__name__, signature, kind, value)
                else:
                    kind(name, value)
            return function(*args, **kwargs)

        return call

    return decorate


def _further(function: str, signature: inspect.Signature, kinds: Mapping[str, Kind], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in kinds:
            own = [p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
            raise DefinitionError(
                f"{function} has no parameter {name!r}",
                where=str(Origin.of_caller()),
                got=f"{name}=…",
                expected=", ".join([*own, *kinds]),
                hint=close_matches(name, [*own, *kinds]),
            )
        kinds[name](name, value)


def _misfit(
    function: str, signature: inspect.Signature, given: Mapping[str, Any], problem: TypeError
) -> DefinitionError:
    known = list(signature.parameters)
    unknown = next((name for name in given if name not in known), None)
    return DefinitionError(
        f"{function} has no parameter {unknown!r}" if unknown else f"{function}: {problem}",
        where=str(Origin.of_caller()),
        got=f"{unknown}=…" if unknown else None,
        expected=f"{function}{_written(signature)}",
        hint=close_matches(unknown, known) if unknown else None,
    )


def _written(signature: inspect.Signature) -> str:
    """Return the parameters without types, and with `…` for defaults."""
    bare = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else ...)
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty)).replace("Ellipsis", "…")
