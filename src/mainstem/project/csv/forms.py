"""How texts are written that a reader could make numbers, dates or times of: what they are, and what reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

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
    """How texts are written, and what reads them: the `verb`, if it is certain and reads all texts that were seen, to
    the Ibis `type`; else `told` has it."""

    told: str
    verb: str = ""
    type: str = "string"


def form_of(column: str, texts: Sequence[str]) -> Form | None:
    """Return how texts of a column are written, and the cleaning verb that reads them; None for other texts."""
    texts = [text.strip() for text in texts]
    if _share(texts, COMMA, POINT) > 0.5 and any("," in text for text in texts):
        return _with_commas(column, texts)
    for name, form in (("amounts of money", MONEY), ("percentages", PERCENT)):
        if _share(texts, form) > 0.5:
            numbers = [number for text in texts if COMMA.fullmatch(number := re.sub(r"[^-+\d.,]", "", text))]
            verb = _number(column, "de" if _is_decimal(numbers) else "en")
            plain = not numbers or _is_decimal(numbers) or any(THOUSANDS.fullmatch(each) for each in numbers)
            return _read(name, verb, "float64", plain and _share(texts, form) == 1)
    if _share(texts, DAY) > 0.5:
        return _days(column, texts)
    if _share(texts, YEAR) > 0.5:
        mark = next(found[1] for text in texts if (found := YEAR.fullmatch(text)))
        return _read("dates", _date(column, mark.join(("%Y", "%m", "%d"))), "date", _dates(texts, YEAR))
    if _share(texts, CLOCK) > 0.5:
        return Form(f"times of day: a table of the rows can compute minutes from them, as {_minutes(column)}")
    return None


def _with_commas(column: str, texts: Sequence[str]) -> Form:
    commas, all_fit = [text for text in texts if COMMA.fullmatch(text)], _share(texts, COMMA, POINT) == 1
    if _is_decimal(commas):
        return _read("numbers with a decimal comma", _number(column, "de"), "float64", all_fit)
    if any(THOUSANDS.fullmatch(text) for text in commas):
        return _read("numbers with commas between thousands", _number(column, "en"), "float64", all_fit)
    told = 'if it divides thousands, locales="de" if decimals'
    return Form(f"numbers with a comma before three digits: {_of_table(_number(column, 'en'))} reads them {told}")


def _days(column: str, texts: Sequence[str]) -> Form:
    """Return the form of dates whose year is the last. A number above 12 is a day, and tells which comes first."""
    found = [match for text in texts if (match := DAY.fullmatch(text))]
    mark = found[0][1]
    year = "%Y" if re.search(r"\d{4}", found[0][0]) else "%y"
    day, month = (mark.join((*order, year)) for order in (("%d", "%m"), ("%m", "%d")))
    leading, second = ({int(match[0].split(mark)[place]) for match in found} for place in (0, 1))
    if max(leading) > 12 >= max(second):
        return _read("dates", _date(column, day), "date", _dates(texts, DAY))
    if max(second) > 12 >= max(leading):
        return _read("dates", _date(column, month), "date", _dates(texts, DAY))
    reads = _of_table(_date(column, day))
    return Form(f'dates: {reads} reads them if the day comes first, "{month}" if the month does')


def _read(name: str, verb: str, type: str, certain: bool) -> Form:
    return Form(name, verb, type) if certain else Form(f"{name}: {_of_table(verb)} reads them")


def _dates(texts: Sequence[str], form: re.Pattern[str]) -> bool:
    """Return whether all texts are dates, without a time of day."""
    return _share(texts, form) == 1 and not any(":" in text for text in texts)


def _is_decimal(texts: Sequence[str]) -> bool:
    """Return whether the comma of numbers divides their decimals: one is not before groups of three digits."""
    return any("," in t and not GROUPED.fullmatch(t) and not THOUSANDS.fullmatch(t) for t in texts)


def _share(texts: Sequence[str], *forms: re.Pattern[str]) -> float:
    return sum(any(form.fullmatch(text) for form in forms) for text in texts) / max(len(texts), 1)


def _of_table(verb: str) -> str:
    return f"clean=[{verb}] of a table"


def _number(column: str, locale: str) -> str:
    return f'ms.clean.parse_number({_quoted(column)}, locales="{locale}")'


def _date(column: str, form: str) -> str:
    return f'ms.clean.parse_date({_quoted(column)}, "{form}")'


def _minutes(column: str) -> str:
    text = f'_[{_quoted(column)}].split(":")'
    return f'{text}[0].cast("int64") * 60 + {text}[1].cast("int64")'


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
