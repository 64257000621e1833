"""Features that a model makes of its inputs, and inputs that it leaves out: `ms.ratios()`, `ms.select(drift=True)`.

Each is a frozen value. Models fit them inside each fold, and their artifacts contain them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from mainstem.nodes.base import refused, several
from mainstem.nodes.declared import declared
from mainstem.nodes.forecasts import FOR
from mainstem.nodes.kinds import boolean, columns, integer, number, optional, text

Statistic = Literal["mean", "median", "deviation", "minimum", "maximum", "difference", "count"]


@dataclass(frozen=True)
class Ratios:
    """Quotients of two numbers; without columns, the `most` pairs that tell most beside their parts."""

    word: ClassVar[str] = "ratios"

    columns: tuple[str, ...] = ()
    most: int = 8


@dataclass(frozen=True)
class Interactions:
    """Products of two numbers; without columns, the `most` pairs that tell most beside their parts."""

    word: ClassVar[str] = "interactions"

    columns: tuple[str, ...] = ()
    most: int = 8


@dataclass(frozen=True)
class GroupStatistics:
    """Statistics of numbers among the training rows that share the texts `by`."""

    word: ClassVar[str] = "group statistics"

    by: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ("mean", "difference")
    most: int = 12


@dataclass(frozen=True)
class Cyclic:
    """Sine and cosine of numbers that come round; without columns, of the parts of dates."""

    word: ClassVar[str] = "cyclic"

    columns: tuple[str, ...] = ()
    period: float | None = None


@dataclass(frozen=True)
class Holidays:
    """Whether a date is a holiday of a country, and the days to the next and since the last one."""

    word: ClassVar[str] = "holidays"

    column: str
    country: str
    subdivision: str | None = None


@dataclass(frozen=True)
class Reduction:
    """The leading components of the numbers: principal ones, or without centring (`truncated SVD`)."""

    word: ClassVar[str] = "reduction"

    components: int = 5
    columns: tuple[str, ...] = ()
    centred: bool = True


def only_for_holidays(engineer: Sequence[Any]) -> frozenset[str]:
    """Return the parts of dates that only holidays read: the year of the time that is forecast does not come round."""
    return frozenset(f"{FOR}__year" for each in engineer if isinstance(each, Holidays) and each.column == FOR)


Engineer = Ratios | Interactions | GroupStatistics | Cyclic | Holidays | Reduction


@dataclass(frozen=True)
class Selection:
    """Which inputs a fit leaves out: those that tell less than shuffled copies, those that only tell when a row was
    made, and all but one of inputs that are nearly the same. It decides in each fold."""

    shadows: bool = True
    drift: bool = True
    correlated: float | None = 0.98


PART_PERIODS = {"month": 12.0, "day": 31.0, "weekday": 7.0, "hour": 24.0, "minute": 60.0}
"""The parts of dates that come round, and after how many they do."""


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(several(value) or ())


@declared(columns=columns(), most=integer(1))
def ratios(columns: str | Sequence[str] | None = None, *, most: int = 8) -> Engineer:
    """Make quotients of numbers: each of `columns` by each later one.

    Without columns, it makes at most `most`: of the pairs of the twelve strongest numbers, those whose quotient tells
    most of the target beside its parts, on the training rows. A quotient by 0 or by a missing number is missing.
    Raises `DefinitionError` for a single column.
    """
    return Ratios(_pair(columns, "ratios"), most)


@declared(columns=columns(), most=integer(1))
def interactions(columns: str | Sequence[str] | None = None, *, most: int = 8) -> Engineer:
    """Make products of numbers: each of `columns` with each later one. It chooses without columns as `ratios` does.

    Raises `DefinitionError` for a single column.
    """
    return Interactions(_pair(columns, "interactions"), most)


def _statistics(name: str, value: Any) -> None:
    columns(at_least=1, of="statistics")(name, value)
    for each in _names(value):
        if each not in get_args(Statistic):
            raise refused(f"`{name}` has an unknown statistic", each, ", ".join(get_args(Statistic)))


@declared(by=columns(at_least=1), of=columns(), statistics=_statistics, most=integer(1))
def group_statistics(
    by: str | Sequence[str],
    of: str | Sequence[str] | None = None,
    *,
    statistics: Statistic | Sequence[Statistic] = ("mean", "difference"),
    most: int = 12,
) -> Engineer:
    """Make statistics of the numbers `of` among the training rows that share the texts `by`.

    `difference` is the number less the mean of its group, `count` how many training rows the group has. Without `of`,
    they are of the `most` numbers (12) with the strongest rank correlation with the target. A level with fewer than
    three training rows, and one that training did not have, share the group of rare levels. A group with fewer than
    three rows gets the statistics of all rows, and its own count. The target is not used. Raises `DefinitionError` for
    an unknown statistic.
    """
    return GroupStatistics(_names(by), _names(of), _names(statistics), most)


@declared(columns=columns(), period=optional(number(0)))
def cyclic(columns: str | Sequence[str] | None = None, *, period: float | None = None) -> Engineer:
    """Make sine and cosine of numbers that come round, so that December is near January.

    Without columns, of the parts of dates among the inputs (`sold_on__month`). Other columns require `period`. Raises
    `DefinitionError` for such a column without it.
    """
    found = _names(columns)
    if period is None and any(each.rpartition("__")[2] not in PART_PERIODS for each in found):
        raise refused("`period` is missing", found, "after how much the numbers come round: period=24")
    return Cyclic(found, None if period is None else float(period))


@declared(column=text, country=text, subdivision=optional(text))
def holidays(column: str, *, country: str, subdivision: str | None = None) -> Engineer:
    """Make features of a date: whether it is a holiday of the country (`"DE"`), and the days to the next and since.

    `column` is a date or an instant in `features=`, whose parts in UTC reach the model, or `"for"`, the time of a
    forecast. `subdivision` is a state or a province
    (`"BY"`). They come from the package `holidays` and are written to the artifact, for each year of the training rows
    and the ten years before and after it; in other years they are missing. Loading the project raises `MissingExtra`
    without the package, and `DefinitionError` for an unknown country.
    """
    return Holidays(column, country, subdivision)


@declared(components=integer(1), columns=columns())
def pca(components: int = 5, columns: str | Sequence[str] | None = None) -> Engineer:
    """Make the leading principal components of standardised numbers: of `columns`, or of all numbers.

    Missing numbers are the mean. Raises `DefinitionError` for another value.
    """
    return Reduction(components, _names(columns))


@declared(components=integer(1), columns=columns())
def truncated_svd(components: int = 5, columns: str | Sequence[str] | None = None) -> Engineer:
    """Make the leading components of numbers without centring them, for counts and other sparse columns.

    Missing numbers are 0. Raises `DefinitionError` for another value.
    """
    return Reduction(components, _names(columns), centred=False)


@declared(shadows=boolean, drift=boolean, correlated=optional(number(0, 1.0000001)))
def select(*, shadows: bool = True, drift: bool = True, correlated: float | None = 0.98) -> Selection:
    """Leave inputs out, as the rows of each fit decide.

    `shadows` leaves out an input that gains no more than shuffled copies of the inputs in any of several fits (after
    Kursa and Rudnicki's Boruta, 2010). `drift` leaves out an input that tells early from late rows and does not help on
    late ones (adversarial validation); rows without time have none. `correlated` keeps one of inputs whose rank
    correlation is at least this; None keeps all. Raises `DefinitionError` for another value.
    """
    if not shadows and not drift and correlated is None:
        raise refused("`select` does nothing", "shadows=False, drift=False, correlated=None", "one of them")
    return Selection(shadows, drift, correlated)


def _pair(value: str | Sequence[str] | None, word: str) -> tuple[str, ...]:
    found = _names(value)
    if len(found) == 1:
        raise refused(f"`{word}` of one column", found[0], "two columns or more, or none to let the model choose")
    return found


def engineers(name: str, value: Any) -> None:
    """Require what functions such as `ms.ratios` make: one, or several."""
    example = f'{name}=[ms.ratios(), ms.group_statistics(by="city")]'
    found = (value,) if isinstance(value, Engineer) else several(value)
    if found is None or isinstance(value, str):
        raise refused(f"`{name}` must be a list of features to make", value, example)
    for each in found:
        if not isinstance(each, Engineer):
            raise refused(f"`{name}` has something that makes no features", each, example)


def engineers_of(value: Engineer | Sequence[Engineer] | None) -> tuple[Engineer, ...] | None:
    """Return what is made; None if it is left to a search."""
    return value if value is None else (value,) if isinstance(value, Engineer) else tuple(value)


def selection(name: str, value: Any) -> None:
    """Require how inputs are selected."""
    if not isinstance(value, Selection) and not (isinstance(value, str) and value in ("auto", "none")):
        raise refused(f"`{name}` has an invalid value", value, f'{name}="auto", "none", or ms.select(…)')


def selection_of(value: Literal["auto", "none"] | Selection | None) -> Selection | Literal["none"] | None:
    """Return how inputs are selected; None if it is left to a search."""
    return Selection() if value == "auto" else value
