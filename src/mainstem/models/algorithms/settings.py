"""Settings of an algorithm: declared as fields of a frozen value, each with what it takes and where a search looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, get_args

from mainstem.errors import DefinitionError, close_matches
from mainstem.nodes.base import Origin
from mainstem.nodes.kinds import Kind
from mainstem.nodes.models import Task

P = ParamSpec("P")
A = TypeVar("A")

ALL: tuple[Task, ...] = get_args(Task)

USUAL: tuple[Task, ...] = ("binary", "multiclass", "regression")
"""The tasks of an algorithm that does not say which it learns."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: `log` spreads them by their logarithm, `whole` are integers."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    options: tuple[Any, ...]


Space = Mapping[str, Range | Choice]
"""Where a search looks, by setting. Settings that are absent keep their value."""


def setting(default: Any, kind: Kind, search: Range | Choice | None = None) -> Any:
    """Return a field of an algorithm: its default, what it takes, and where a search looks."""
    return field(default=default, metadata={"kind": kind, "search": search})


@dataclass(frozen=True)
class Declared:
    """The base of the built-in algorithms: a frozen value whose fields are made by `setting`.

    `name` is its name in `candidates=`, `tasks` are those that it learns, `monotone` those in which it keeps monotone
    constraints. `prepares` says that declared steps of inputs reach it. `extra` is the library that it needs beyond
    those of `mainstem[learn]`.
    """

    name: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    tasks: ClassVar[tuple[Task, ...]] = USUAL
    monotone: ClassVar[tuple[Task, ...]] = ()
    prepares: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for each in fields(self):
            each.metadata["kind"](each.name, getattr(self, each.name))

    @property
    def space(self) -> Space:
        """Where a search looks, by setting."""
        return {each.name: each.metadata["search"] for each in fields(self) if each.metadata["search"] is not None}

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        found = {each.name: (getattr(self, each.name), each.default) for each in fields(self)}
        return {name: value for name, (value, default) in found.items() if value != default}

    @property
    def label(self) -> str:
        """The name that leaderboards show, with the settings that differ."""
        return self._labelled(self.name)

    def _labelled(self, name: str, without: tuple[str, ...] = ()) -> str:
        told = ", ".join(f"{setting}={value!r}" for setting, value in self.chosen.items() if setting not in without)
        return f"{name}({told})" if told else name

    def with_settings(self, **settings: Any) -> Self:
        """Return the algorithm with other settings. Raises `DefinitionError` for an unknown or invalid one."""
        _known(self.name, settings, [each.name for each in fields(self)])
        return replace(self, **settings)


def maker(algorithm: Callable[P, A]) -> Callable[P, A]:
    """Return a function of settings, by name, that makes the algorithm. It refuses unknown settings at their line."""
    kind: Any = algorithm

    @wraps(algorithm, assigned=("__doc__",), updated=())
    def make(*values: P.args, **settings: P.kwargs) -> A:
        if values:
            raise DefinitionError(
                f"the settings of {kind.name} must be given by name",
                where=str(Origin.of_caller()),
                got=repr(values[0]),
                expected=f"ms.{kind.name}({fields(kind)[0].name}=…)" if fields(kind) else f"ms.{kind.name}()",
            )
        _known(kind.name, settings, [each.name for each in fields(kind)])
        return algorithm(*values, **settings)

    make.__name__ = make.__qualname__ = kind.name
    return make


def _known(algorithm: str, settings: Mapping[str, Any], names: list[str]) -> None:
    for name in settings:
        if name not in names:
            raise DefinitionError(
                f"{algorithm} has no setting {name!r}",
                where=str(Origin.of_caller()),
                got=f"{name}={settings[name]!r}",
                expected=", ".join(names) if names else "no setting",
                hint=close_matches(name, names),
            )
