"""How texts are written that a reader could make numbers, dates or times of: what they are, and what reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def form_of(column: str, texts: Sequence[str]) -> str | None:
    """Return how texts of a column are written, and the cleaning verb that reads them; None for other texts."""
    texts = [text.strip() for text in texts]
    if _most(texts, COMMA, POINT) and any("," in text for text in texts):
        return _with_commas(column, [text for text in texts if COMMA.fullmatch(text)])
    for name, form in (("amounts of money", MONEY), ("percentages", PERCENT)):
        if _most(texts, form):
            numbers = [number for text in texts if COMMA.fullmatch(number := re.sub(r"[^-+\d.,]", "", text))]
            locale = "de" if _is_decimal(numbers) else "en"
            return f"{name}: {_number(column, locale)} reads them"
    if _most(texts, DAY):
        mark = next(found[1] for text in texts if (found := DAY.fullmatch(text)))
        year = "%Y" if re.search(r"\d{4}", texts[0]) else "%y"
        day, month = (mark.join((*order, year)) for order in (("%d", "%m"), ("%m", "%d")))
        return f'dates: {_date(column, day)} reads them if the day comes first, "{month}" if the month does'
    if _most(texts, YEAR):
        mark = next(found[1] for text in texts if (found := YEAR.fullmatch(text)))
        return f"dates: {_date(column, mark.join(('%Y', '%m', '%d')))} reads them"
    if _most(texts, CLOCK):
        return f"times of day: a table of the rows can compute minutes from them, as {_minutes(column)}"
    return None


def _with_commas(column: str, texts: Sequence[str]) -> str:
    if _is_decimal(texts):
        return f"numbers with a decimal comma: {_number(column, 'de')} reads them"
    if any(THOUSANDS.fullmatch(text) for text in texts):
        return f"numbers with commas between thousands: {_number(column, 'en')} reads them"
    told = 'if it divides thousands, locales="de" if decimals'
    return f"numbers with a comma before three digits: {_number(column, 'en')} reads them {told}"


def _is_decimal(texts: Sequence[str]) -> bool:
    """Return whether the comma of numbers divides their decimals: one is not before groups of three digits."""
    return any("," in t and not GROUPED.fullmatch(t) and not THOUSANDS.fullmatch(t) for t in texts)


def _most(texts: Sequence[str], *forms: re.Pattern[str]) -> bool:
    return sum(any(form.fullmatch(text) for form in forms) for text in texts) > len(texts) / 2


def _number(column: str, locale: str) -> str:
    return f'clean=[ms.clean.parse_number({_quoted(column)}, locales="{locale}")] of a table'


def _date(column: str, form: str) -> str:
    return f'clean=[ms.clean.parse_date({_quoted(column)}, "{form}")] of a table'


def _minutes(column: str) -> str:
    text = f'_[{_quoted(column)}].split(":")'
    return f'{text}[0].cast("int64") * 60 + {text}[1].cast("int64")'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
