"""Features of dates: what comes round as sine and cosine, and holidays."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import DefinitionError, ModelError, close_matches
from mainstem.models.algorithms import libraries
from mainstem.models.data.rows import Examples, Matrix, Rows
from mainstem.models.engineering.base import Names, free, is_part
from mainstem.models.graphs.builder import ML, Builder
from mainstem.nodes.engineering import PART_PERIODS, Cyclic, Holidays

AROUND = 10
"""The years before and after the training rows whose holidays an artifact knows."""

FAR = 30
"""The days to and since a holiday are at most this."""

LARGEST = 1e6
"""Beyond it, a number that comes round is missing: its place on the circle is rounding."""


@dataclass(frozen=True, eq=False)
class Circles:
    """Sine and cosine of numbers with their periods. A missing number is missing."""

    columns: tuple[int, ...]
    periods: NDArray[np.float64]
    names: tuple[str, ...]
    told: tuple[str, ...]

    @classmethod
    def fit(cls, examples: Examples, asked: Cyclic) -> Circles:
        names = Names.of(examples)
        parts = [j for j in free(examples) if is_part(names.floats[j])]
        columns = tuple(names.numbers(asked.columns) if asked.columns else parts)
        periods = [asked.period or PART_PERIODS[names.floats[j].rpartition("__")[2]] for j in columns]
        found = [f"{kind} {names.floats[j]}" for kind in ("sine", "cosine") for j in columns]
        told = [f"comes round after {period:g}" for _ in "sc" for period in periods]
        return cls(columns, np.array(periods), tuple(found), tuple(told))

    @property
    def origins(self) -> tuple[tuple[int, ...], ...]:
        return tuple((j,) for _ in "sc" for j in self.columns)

    def transform(self, rows: Rows) -> Matrix:
        own = rows.floats[:, list(self.columns)].astype(np.float64)
        with np.errstate(all="ignore"):
            angle = np.where(np.abs(own) <= LARGEST, own, np.nan) * (2 * np.pi / self.periods)
            return np.hstack([np.sin(angle), np.cos(angle)]).astype(np.float32)

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        own = builder.add("Gather", floats, builder.constant(np.array(self.columns, np.int64)), axis=1)
        own = builder.cast(own, "DOUBLE")
        near = builder.add("LessOrEqual", builder.add("Abs", own), builder.constant(np.array(LARGEST)))
        own = builder.add("Where", near, own, builder.constant(np.array(np.nan)))
        angle = builder.add("Mul", own, builder.constant(2 * np.pi / self.periods))
        return builder.cast(builder.concat([builder.add("Sin", angle), builder.add("Cos", angle)]), "FLOAT")


@dataclass(frozen=True, eq=False)
class OfHolidays:
    """What is known of each day `days` [D], as year · 10,000 + month · 100 + day: `values` [D, 3]. Other days, and
    missing ones, are missing."""

    parts: tuple[int, int, int]
    days: NDArray[np.int64]
    values: Matrix
    names: tuple[str, ...]
    told: tuple[str, ...]

    @classmethod
    def fit(cls, examples: Examples, asked: Holidays) -> OfHolidays:
        names = Names.of(examples)
        wanted = [f"{asked.column}__{part}" for part in ("year", "month", "day")]
        if any(each not in names.floats for each in wanted):
            raise ModelError(
                f"the parts of {asked.column!r} do not reach the model", got=", ".join(names.floats), expected=wanted[0]
            )
        year, month, day = names.numbers(wanted)
        seen = examples.rows.floats[:, year]
        days, values = _calendar(asked, np.unique(seen[np.isfinite(seen)]).astype(int).tolist())
        if not len(days):
            return cls((year, month, day), days, values, (), ())
        place = asked.country if asked.subdivision is None else f"{asked.country}-{asked.subdivision}"
        titles = ("is a holiday", "days to a holiday", "days since a holiday")
        known = f"holidays of {place}, {days[0] // 10_000} to {days[-1] // 10_000}"
        return cls(
            (year, month, day),
            days,
            values,
            tuple(f"{asked.column} {title}" for title in titles),
            (known, f"{known}, at most {FAR}", f"{known}, at most {FAR}"),
        )

    @property
    def origins(self) -> tuple[tuple[int, ...], ...]:
        return (self.parts,) * 3

    def transform(self, rows: Rows) -> Matrix:
        own = rows.floats[:, list(self.parts)]
        own = np.where(np.abs(own) <= 9_999, own, np.float32(-1))
        key = own.astype(np.int64) @ np.array([10_000, 100, 1])
        place = np.minimum(np.searchsorted(self.days, key), len(self.days) - 1)
        return np.where((self.days[place] == key)[:, None], self.values[place], np.float32(np.nan))

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        own = builder.add("Gather", floats, builder.constant(np.array(self.parts, np.int64)), axis=1)
        near = builder.add("LessOrEqual", builder.add("Abs", own), builder.constant(np.array(9_999, np.float32)))
        own = builder.add("Where", near, own, builder.constant(np.array(-1, np.float32)))
        weights = builder.constant(np.array([10_000, 100, 1], np.int64))
        terms = builder.add("Mul", builder.cast(own, "INT64"), weights)
        key = builder.add("ReduceSum", terms, builder.constant(np.array([1], np.int64)), keepdims=0)
        place = builder.add(
            "LabelEncoder",
            builder.add("Cast", key, to=STRING),
            domain=ML,
            keys_strings=[str(each) for each in self.days.tolist()],
            values_int64s=list(range(len(self.days))),
            default_int64=len(self.days),
        )
        table = np.vstack([self.values, np.full((1, 3), np.nan)]).astype(np.float32)
        return builder.add("Gather", builder.constant(table), place)


STRING = 8
"""ONNX's number of texts: its encoder maps texts to whole numbers, and not whole numbers to each other."""


def check_place(asked: Holidays) -> None:
    """Refuse a country or a subdivision that is unknown. Raises `DefinitionError` and `MissingExtra`."""
    known = libraries.holidays().list_supported_countries()
    if asked.country not in known:
        raise DefinitionError(
            f"unknown country {asked.country!r} of `ms.holidays`",
            got=asked.country,
            expected="a code such as DE or US",
            hint=close_matches(asked.country, known),
        )
    if asked.subdivision is not None and asked.subdivision not in known[asked.country]:
        raise DefinitionError(
            f"unknown subdivision {asked.subdivision!r} of {asked.country} in `ms.holidays`",
            got=asked.subdivision,
            expected=", ".join(known[asked.country]) or "none: the country has no subdivisions",
        )


def _calendar(asked: Holidays, seen: Sequence[int]) -> tuple[NDArray[np.int64], Matrix]:
    """Return the days of the years around those that were seen, and what is known of each.

    A year of which the library has no holiday is left out: it does not know it. So are the years between those that
    were seen and a year such as 9999, which stands for "never".
    """
    more: Any = {} if asked.subdivision is None else {"subdiv": asked.subdivision}
    wanted = {year for each in seen for year in range(each - AROUND, each + AROUND + 1)}
    around = sorted({year for each in wanted for year in (each - 1, each, each + 1) if 1 <= year <= date.max.year})
    found = sorted(libraries.holidays().country_holidays(asked.country, years=around, **more)) if around else []
    free = np.array([each.toordinal() for each in found], np.int64)
    firsts = [date(year, 1, 1) for year in sorted(wanted & {each.year for each in found})]
    dates = [first + timedelta(days=n) for first in firsts for n in range(366 if isleap(first.year) else 365)]
    day = np.array([each.toordinal() for each in dates], np.int64)
    keys = np.array([each.year * 10_000 + each.month * 100 + each.day for each in dates], np.int64)
    ends = np.concatenate([[-(10**9)], free, [10**9]])
    place = np.searchsorted(ends, day)
    following = np.minimum(ends[place] - day, FAR)
    since = np.minimum(day - ends[np.searchsorted(ends, day, side="right") - 1], FAR)
    return keys, np.column_stack([following == 0, following, since]).astype(np.float32)
