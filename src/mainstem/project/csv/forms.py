"""How texts are written that a reader could make numbers, dates or times of: what they are, and what reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mainstem.nodes.verbs.dates import ParseDate
from mainstem.nodes.verbs.numbers import Locale, ParseNumber

COMMA = re.compile(r"[-+]?\d[\d.]*,\d+|[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
"""A number with commas."""
POINT = re.compile(r"[-+]?\d+(?:\.\d+)?")
THOUSANDS = re.compile(r".*,\d{3}[.,].*")
"""A comma that is not the last mark of its number."""
GROUPED = re.compile(r"[-+]?\d{1,3},\d{3}")
MONEY = re.compile(r"[-+]?\s?[$€£¥]\s?[-+]?\d[\d.,]*|[-+]?\d[\d.,]*\s?[$€£¥]")
PERCENT = re.compile(r"[-+]?\d[\d.,]*\s?%")
DAY = re.compile(r"\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?:[ T].*)?")
"""A date whose year is the last."""
YEAR = re.compile(r"\d{4}([./])\d{1,2}\1\d{1,2}(?:[ T].*)?")
CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?")


class Form(NamedTuple):
    """How texts are written. `verb`, written as `code`, reads them as the Ibis `type`. Without a verb it is not certain
    what reads them, and `told` says what may."""

    told: str
    verb: ParseNumber | ParseDate | None = None
    code: str = ""
    type: str = "string"

    @property
    def doubted(self) -> Form:
        """The same for texts of which the verb may not be meant, or does not read all."""
        return Form(f"{self.told}: clean=[{self.code}] of a table reads them")


def form_of(column: str, texts: Sequence[str]) -> Form | None:
    """Return how most texts of a column are written; None for texts of no form. A verb may not read all of them."""
    texts = [text.strip() for text in texts]
    if _most(texts, COMMA, POINT) and any("," in text for text in texts):
        return _with_commas(column, [text for text in texts if COMMA.fullmatch(text)])
    for name, form in (("amounts of money", MONEY), ("percentages", PERCENT)):
        if _most(texts, form):
            numbers = [number for text in texts if COMMA.fullmatch(number := re.sub(r"[^-+\d.,]", "", text))]
            found = _numbers(name, column, "de" if _is_decimal(numbers) else "en")
            return found if not numbers or _is_decimal(numbers) or _has_thousands(numbers) else found.doubted
    if _most(texts, DAY):
        return _days(column, [match for text in texts if (match := DAY.fullmatch(text))])
    if _most(texts, YEAR):
        mark = next(match[1] for text in texts if (match := YEAR.fullmatch(text)))
        return _dates(column, mark.join(("%Y", "%m", "%d")))
    if _most(texts, CLOCK):
        return Form(f"times of day: a table of the rows can compute minutes from them, as {_minutes(column)}")
    return None


def _with_commas(column: str, texts: Sequence[str]) -> Form:
    if _is_decimal(texts):
        return _numbers("numbers with a decimal comma", column, "de")
    if _has_thousands(texts):
        return _numbers("numbers with commas between thousands", column, "en")
    told = _numbers("numbers with a comma before three digits", column, "en").doubted.told
    return Form(f'{told} if it divides thousands, locales="de" if decimals')


def _days(column: str, found: Sequence[re.Match[str]]) -> Form:
    """Return the form of dates whose year is the last. A number above 12 is a day, and tells which comes first."""
    mark, year = found[0][1], "%Y" if re.search(r"\d{4}", found[0][0]) else "%y"
    day, month = (mark.join((*order, year)) for order in (("%d", "%m"), ("%m", "%d")))
    first, second = (max(int(match[0].split(mark)[place]) for match in found) for place in (0, 1))
    if first > 12 or second > 12:
        return _dates(column, day if first > 12 else month)
    return Form(f'{_dates(column, day).doubted.told} if the day comes first, "{month}" if the month does')


def _numbers(told: str, column: str, locale: Locale) -> Form:
    code = f'ms.clean.parse_number({_quoted(column)}, locales="{locale}")'
    return Form(told, ParseNumber(column=column, locales=(locale,)), code, "float64")


def _dates(column: str, form: str) -> Form:
    code = f'ms.clean.parse_date({_quoted(column)}, "{form}")'
    return Form("dates", ParseDate(column=column, formats=(form,)), code, "date")


def _is_decimal(texts: Sequence[str]) -> bool:
    """Return whether the comma of numbers divides their decimals: one is not before groups of three digits."""
    return any("," in t and not GROUPED.fullmatch(t) and not THOUSANDS.fullmatch(t) for t in texts)


def _has_thousands(texts: Sequence[str]) -> bool:
    return any(THOUSANDS.fullmatch(text) for text in texts)


def _most(texts: Sequence[str], *forms: re.Pattern[str]) -> bool:
    return sum(any(form.fullmatch(text) for form in forms) for text in texts) > len(texts) / 2


def _minutes(column: str) -> str:
    text = f'_[{_quoted(column)}].split(":")'
    return f'{text}[0].cast("int64") * 60 + {text}[1].cast("int64")'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
