"""How an endpoint decides: `ms.cheapest(…)`, `ms.best(…)` and `ms.top(…)` over request, features and score."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstem.errors import DefinitionError, close_matches
from mainstem.nodes.base import Deferred, Origin, refused
from mainstem.nodes.declared import declared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.kinds import calculation, integer, is_number, mapping, optional, text

_QUOTA = re.compile(r"\s*(\d+)\s*/\s*(\S+)\s*")


@dataclass(frozen=True)
class Quota:
    """How often an option may be taken: at most `count` times in each window of `every` µs, counted from the epoch."""

    count: int
    every: int

    @classmethod
    def read(cls, written: str, of: str) -> Quota:
        """Return the quota that is written as `200/1d`. Raises `DefinitionError`."""
        found = _QUOTA.fullmatch(written)
        if found is None or int(found[1]) == 0:
            raise refused(f"the quota of {of!r} cannot be read", written, 'a count and a duration: "200/1d"')
        every = microseconds(found[2], str(Origin.of_caller()))
        if every == 0:
            raise refused(f"the quota of {of!r} has no duration", written, 'a positive duration: "200/1d"')
        return cls(int(found[1]), every)


@dataclass(frozen=True, eq=False, kw_only=True)
class Decide:
    """A rule that turns a score into a decision."""

    origin: Origin = field(default_factory=Origin.of_caller)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cheapest(Decide):
    """The option with the lowest value. Of equal values, the option that is declared first.

    `at_most` limits how often an option is taken; then the next cheapest one is.
    """

    options: Mapping[str, Deferred]
    at_most: Mapping[str, Quota]


def _cost(name: str, value: Any) -> None:
    if not is_number(value):
        calculation()(name, value)


@declared(at_most=mapping(text), options=mapping(_cost))
def cheapest(*, at_most: Mapping[str, str] = {}, **options: Deferred) -> Cheapest:
    """Decide for the option with the lowest cost, for `ms.endpoint(decide=…)`.

    Each keyword is an option and what it costs: an expression over request fields, features and `_.score`, or a number.
    `_.score` is P(true) of a binary model or the value of a regression; `_.scores["CLASS"]` is the probability of one
    of several classes. A cost that is null or not finite takes its option out. `at_most={"review": "200/1d"}` limits an
    option in each day of prediction times, in UTC; then the next cheapest option is taken.

    Raises `DefinitionError` for fewer than two options, and for a quota of an unknown option or of every option.
    """
    if len(options) < 2:
        raise refused("`cheapest` needs at least two options", list(options), "allow=_.score * _.amount, block=8")
    for name in at_most:
        if name not in options:
            raise DefinitionError(
                f"`at_most` names an unknown option {name!r}",
                where=str(Origin.of_caller()),
                got=name,
                expected=", ".join(options),
                hint=close_matches(name, options),
            )
    if len(at_most) == len(options):
        raise refused("`at_most` limits every option", dict(at_most), "at least one option without a quota")
    return Cheapest(options=dict(options), at_most={name: Quota.read(text, name) for name, text in at_most.items()})


@dataclass(frozen=True, eq=False, kw_only=True)
class Best(Decide):
    """The candidate with the highest `value`, of those for which `where` is true."""

    value: Deferred
    where: Deferred | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Top(Decide):
    """The `count` candidates with the highest `by`, at most so many of each value of the columns in `at_most`."""

    count: int
    by: Deferred
    at_most: Mapping[str, int]


@declared(value=calculation(), where=optional(calculation()))
def best(value: Deferred, *, where: Deferred | None = None) -> Best:
    """Decide for the candidate with the highest value, for `ms.endpoint(candidates=…, decide=…)`.

    `value` and the condition `where` are expressions over request fields, columns of the candidate, features and
    `_.score`.
    """
    return Best(value=value, where=where)


@declared(count=integer(1), by=calculation(), at_most=mapping(integer(1)))
def top(count: int, *, by: Deferred, at_most: Mapping[str, int] = {}) -> Top:
    """Decide for a list: the candidates with the highest `by`, best first.

    `at_most={"genre": 3}` takes no more than three candidates of one genre.
    """
    return Top(count=count, by=by, at_most=dict(at_most))
