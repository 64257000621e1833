"""Suggest cleaning verbs from what a description says of texts and of missing values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mainstem.nodes.descriptions import ColumnDescription, Description

MOSTLY = 0.9
"""The share of texts from which on a column is read as numbers or dates."""
FEW_MISSING = 0.05
"""The share of missing values up to which a constant may stand for them."""

_DECIMAL_COMMA = re.compile(r"^\s*[-+]?(\d{1,3}(\.\d{3})+|\d+),(\d{1,2}|\d{4,})\s*$")
_DECIMAL_POINT = re.compile(r"^\s*[-+]?(\d{1,3}(,\d{3})+|\d+)\.(\d{1,2}|\d{4,})\s*$")
_WHOLE = re.compile(r"^\s*[-+]?\d+\s*$")
_PARTS = re.compile(r"^\s*(\d{1,2})([./-])(\d{1,2})\2\d{4}\s*$")
_ISO = re.compile(r"^\s*\d{4}-\d{2}-\d{2}\s*$")


@dataclass(frozen=True)
class Cleaning:
    """The code of a verb, the column that it changes, and the reason for it."""

    column: str
    code: str
    reason: str


def suggest_cleaning(found: Description) -> Iterator[Cleaning]:
    """Yield verbs in the order in which a table applies them."""
    for column in found.columns:
        if column.name not in found.key:
            yield from _of_texts(column)
            yield from _of_missing(found, column)


def _of_texts(column: ColumnDescription) -> Iterator[Cleaning]:
    name, shape = json.dumps(column.name, ensure_ascii=False), column.statistics.text
    if shape is None:
        return
    if shape.padded:
        yield Cleaning(column.name, f"ms.clean.trim({name})", f"{shape.padded:.1%} have outer white space")
    mapping = canonical(column)
    if mapping:
        code = f"ms.clean.map({name}, {json.dumps(mapping, ensure_ascii=False)})"
        yield Cleaning(column.name, code, "levels that may mean the same: review them")
    texts = _examples(column)
    if shape.dates >= MOSTLY and (format := date_format(texts)):
        code = f'ms.clean.parse_date({name}, ["{format}"], invalid="quarantine")'
        yield Cleaning(column.name, code, f"{shape.dates:.1%} look like dates")
    elif shape.numbers >= MOSTLY and (locale := number_locale(texts)):
        code = f'ms.clean.parse_number({name}, locales=["{locale}"], invalid="quarantine")'
        yield Cleaning(column.name, code, f"{shape.numbers:.1%} look like numbers")


def _of_missing(found: Description, column: ColumnDescription) -> Iterator[Cleaning]:
    """Suggest the median for a few missing numbers, with a column that tells which were missing."""
    statistics = column.statistics
    missing = ((statistics.nulls or 0) + statistics.nans) / found.rows if found.exact and found.rows else 0.0
    is_number = statistics.mean is not None and not statistics.type.lstrip("!").startswith("decimal")
    if is_number and 0 < missing <= FEW_MISSING and statistics.quantiles:
        name, middle = json.dumps(column.name, ensure_ascii=False), statistics.quantiles[3]
        indicator = json.dumps(f"{column.name}_missing", ensure_ascii=False)
        code = f"ms.clean.impute({name}, {middle!r}, indicator={indicator})"
        yield Cleaning(column.name, code, f"{missing:.1%} missing; the median is {middle:,}")


def canonical(column: ColumnDescription) -> dict[str, str]:
    """Return what each variant of a level becomes: the most frequent one. White space around them is gone by then."""
    mapping: dict[str, str] = {}
    for group in column.variants:
        right = group.levels[0].value.strip()
        mapping |= {level.value.strip(): right for level in group.levels[1:] if level.value.strip() != right}
    return {wrong: mapping.get(right, right) for wrong, right in mapping.items()}


def number_locale(texts: Sequence[str]) -> str | None:
    """Return the locale that all texts fit, or None if some fit none or both: `1.234` may be either."""
    comma = any(map(_DECIMAL_COMMA.match, texts))
    point = any(map(_DECIMAL_POINT.match, texts))
    if comma == point and not (texts and all(map(_WHOLE.match, texts))):
        return None
    return "de" if comma else "en"


def date_format(texts: Sequence[str]) -> str | None:
    """Return the one format that all texts have, or None, also where day and month cannot be told apart."""
    if texts and all(map(_ISO.match, texts)):
        return "%Y-%m-%d"
    found = [match for text in texts if (match := _PARTS.match(text))]
    if not found or len(found) < len(texts) or len({match[2] for match in found}) > 1:
        return None
    between = found[0][2]
    day_first, month_first = any(int(m[1]) > 12 for m in found), any(int(m[3]) > 12 for m in found)
    if day_first == month_first:
        return None
    return between.join(("%d", "%m", "%Y") if day_first else ("%m", "%d", "%Y"))


def _examples(column: ColumnDescription) -> list[str]:
    statistics = column.statistics
    texts = [level.value for level in statistics.frequent]
    return texts + [each for each in (statistics.low, statistics.high) if isinstance(each, str)]
