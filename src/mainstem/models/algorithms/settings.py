"""Settings of an algorithm: declared as fields of a frozen value, each with what it takes and where a search looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from functools import wraps
from math import sqrt
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

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that a setting must take, so that it takes all of the space."""
        return tuple(int(each) if self.whole else float(each) for each in (self.low, self.high))

    @property
    def middle(self) -> float:
        """What a search starts with, if the default is not in the space."""
        found = sqrt(self.low) * sqrt(self.high) if self.log else self.low + (self.high - self.low) / 2
        return round(found) if self.whole else float(f"{found:.6g}")

    def has(self, value: Any) -> bool:
        """Return whether a value is in the space."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self.whole or value == int(value))

    @property
    def plain(self) -> list[Any]:
        """The space as plain data, which is equal for equal spaces."""
        return ["range", *self.ends, "log" if self.log else "even"]

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" if not self.whole else f"{self.low:.0f} to {self.high:.0f}"


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    options: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that a setting must take, so that it takes all of the space."""
        return self.options

    @property
    def middle(self) -> Any:
        """What a search starts with, if the default is not in the space."""
        return self.options[0]

    def has(self, value: Any) -> bool:
        """Return whether a value is in the space."""
        return value in self.options

    @property
    def plain(self) -> list[Any]:
        """The space as plain data, which is equal for equal spaces."""
        return ["choice", *(list(each) if isinstance(each, tuple) else each for each in self.options)]

    def __str__(self) -> str:
        return " or ".join(map(repr, self.options))


Space = Mapping[str, Range | Choice]
"""Where a search looks, by setting. Settings that are absent keep their value."""


def setting(default: Any, kind: Kind, search: Range | Choice | None = None) -> Any:
    """Return a field of an algorithm: its default, what it takes, and where a search looks."""
    return field(default=default, metadata={"kind": kind, "search": search})


def settings_of(algorithm: Any) -> tuple[Field[Any], ...]:
    """Return the fields of an algorithm, or of its class, that are settings."""
    return tuple(each for each in fields(algorithm) if "kind" in each.metadata)


Within = tuple[tuple[str, "Range | Choice"], ...]
"""The spaces that a user declared, by setting."""


@dataclass(frozen=True)
class Declared:
    """The base of the built-in algorithms: a frozen value whose fields are made by `setting`.

    `name` is its name in `candidates=`, `tasks` are those that it learns, `monotone` those in which it keeps monotone
    constraints. `prepares` says that declared steps of inputs reach it. `extra` is the library that it needs beyond
    those of `mainstem[learn]`. A setting may be given as a space, `ms.among(8, 64)`: it starts with its default, or in
    the middle of the space, and `within` has the space.
    """

    name: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    tasks: ClassVar[tuple[Task, ...]] = USUAL
    monotone: ClassVar[tuple[Task, ...]] = ()
    prepares: ClassVar[bool] = True

    # A fit does not depend on the space. So the identity of a candidate leaves out what is `aside`.
    within: Within = field(default=(), init=False, repr=False, metadata={"aside": True})

    def __post_init__(self) -> None:
        found = []
        for each in settings_of(self):
            value, kind = getattr(self, each.name), each.metadata["kind"]
            if not isinstance(value, (Range, Choice)):
                _check(kind, each.name, value)
                continue
            if isinstance(value, Range) and value.whole and _takes(kind, float(value.low)):
                value = replace(value, whole=False)
            for end in value.ends:
                kind(each.name, end)
            found.append((each.name, value))
            object.__setattr__(self, each.name, each.default if value.has(each.default) else value.middle)
        object.__setattr__(self, "within", tuple(found))

    @property
    def space(self) -> Space:
        """Where a search looks, by setting."""
        usual = {each.name: each.metadata["search"] for each in settings_of(self)}
        return {name: where for name, where in {**usual, **dict(self.within)}.items() if where is not None}

    @property
    def searched(self) -> Space:
        """The same without the settings that were declared as a value."""
        kept = self.chosen.keys() - dict(self.within).keys()
        return {name: where for name, where in self.space.items() if name not in kept}

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings that differ from their defaults."""
        found = {each.name: (getattr(self, each.name), each.default) for each in settings_of(self)}
        return {name: value for name, (value, default) in found.items() if value != default}

    @property
    def label(self) -> str:
        """The name that leaderboards show, with the settings that differ and those that are searched."""
        return self._labelled(self.name)

    def _labelled(self, name: str, without: tuple[str, ...] = ()) -> str:
        chosen, spaces = self.chosen, dict(self.within)
        return labelled(
            name, {each: value for each, value in chosen.items() if each not in (*without, *spaces)}, spaces
        )

    def value_of(self, setting: str) -> Any:
        """Return the value of a setting."""
        return getattr(self, setting)

    def with_settings(self, **settings: Any) -> Self:
        """Return the algorithm with other settings. Raises `DefinitionError` for an unknown or invalid one."""
        _known(self.name, settings, [each.name for each in settings_of(self)])
        return replace(self, **{**dict(self.within), **settings})


def labelled(name: str, values: Mapping[str, Any], spaces: Mapping[str, Range | Choice]) -> str:
    """Return a name with values and spaces of settings, as leaderboards show it."""
    told = [f"{setting}={value!r}" for setting, value in values.items()]
    told += [f"{setting}={where}" for setting, where in spaces.items()]
    return f"{name}({', '.join(told)})" if told else name


def _check(kind: Kind, name: str, value: Any) -> None:
    try:
        kind(name, value)
    except DefinitionError as problem:
        if problem.hint or not isinstance(value, (tuple, list, range)):
            raise
        values = ", ".join(map(repr, value)) if len(value) == 2 else repr(list(value))
        hint = f"{name}=ms.among({values}) is a space for a search"
        raise DefinitionError(
            problem.what, where=problem.where, got=problem.got, expected=problem.expected, hint=hint
        ) from None


def _takes(kind: Kind, value: Any) -> bool:
    try:
        kind("", value)
    except DefinitionError:
        return False
    return True


def maker(algorithm: Callable[P, A]) -> Callable[P, A]:
    """Return a function of settings, by name, that makes the algorithm. It refuses unknown settings at their line."""
    kind: Any = algorithm
    own = [each.name for each in settings_of(kind)]

    @wraps(algorithm, assigned=("__doc__",), updated=())
    def make(*values: P.args, **settings: P.kwargs) -> A:
        if values:
            raise DefinitionError(
                f"the settings of {kind.name} must be given by name",
                where=str(Origin.of_caller()),
                got=repr(values[0]),
                expected=f"ms.{kind.name}({own[0]}=…)" if own else f"ms.{kind.name}()",
            )
        _known(kind.name, settings, own)
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
                hint=_alias(name, names) or close_matches(name, names),
            )


ALIASES: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            {"rounds", "n_estimators", "num_boost_round", "num_iterations", "num_trees", "iterations", "max_iter"},
            {"patience", "early_stopping_rounds", "early_stopping_round", "n_iter_no_change", "od_wait"},
            {"held_out", "validation_fraction"},
            {"learning_rate", "eta", "shrinkage_rate", "learning_rate_init"},
            {"num_leaves", "max_leaf_nodes", "max_leaves"},
            {"max_depth", "depth"},
            {"min_data_in_leaf", "min_samples_leaf", "min_child_samples"},
            {"min_child_weight", "min_sum_hessian_in_leaf"},
            {"feature_fraction", "colsample_bytree", "max_features", "rsm"},
            {"bagging_fraction", "subsample"},
            {"lambda_l1", "reg_alpha"},
            {"lambda_l2", "reg_lambda", "l2_regularization", "l2_leaf_reg"},
            {"gamma", "min_split_loss", "min_gain_to_split"},
            {"hidden_layer_sizes", "layers", "hidden_layers"},
            {"n_neighbors", "k", "neighbours"},
        ),
    )
)
"""Names of libraries for the same setting."""


def _alias(name: str, names: Sequence[str]) -> str | None:
    """Return a hint to the setting that a library calls otherwise; None if the algorithm has none."""
    found = [each for alike in ALIASES if name in alike for each in names if each in alike]
    if found:
        return f"{name!r} is {found[0]!r} here"
    if name == "C" and "penalty" in names:
        return "'C' is 1 / 'penalty' here"
    return None
