"""The rows within a JSON page, and other values at a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mainstem.errors import SourceError, close_matches
from mainstem.masking import brief

_STEP = re.compile(r"\[(\*|\d+)\]|([^.\[]+)")
MISSING = object()
"""What is at a path that does not exist."""


def records_at(page: Any, path: str, where: str) -> list[dict[str, Any]]:
    """Return the objects at a path such as `$`, `items`, `data.rows` or `groups[*].items[*]`. Null in
    place of them is no row.

    Raises `SourceError` if the path does not exist.
    """
    found = [page]
    for step in _steps(path):
        found = [each for value in found for each in _down(value, step, path, where)]
    if path != "$":
        found = [value for value in found if value is not None]
    rows = [each for value in found for each in (value if isinstance(value, list) else [value])]
    for row in rows:
        if not isinstance(row, dict):
            raise SourceError("a record is not a JSON object", where=where, got=brief(repr(row)), expected="{…}")
    return rows


def value_at(page: Any, path: str) -> Any:
    """Return the value at a path, or `MISSING`. A name may have dots: `@odata.nextLink`."""
    if isinstance(page, dict) and path in page:
        return page[path]
    found = page
    for step in _steps(path):
        is_element = isinstance(step, int) and isinstance(found, list) and step < len(found)
        if is_element or (isinstance(found, dict) and step in found):
            found = found[step]
        else:
            return MISSING
    return found


def with_value(body: Any, path: str, value: Any) -> dict[str, Any]:
    """Return a JSON object with a value at a path of names: objects on the way are made."""
    name, _, rest = path.partition(".")
    own = dict(body) if isinstance(body, dict) else {}
    own[name] = with_value(own.get(name), rest, value) if rest else value
    return own


def _steps(path: str) -> Iterator[str | int]:
    for index, name in _STEP.findall(path.removeprefix("$")):
        yield name or (index if index == "*" else int(index))


def _down(value: Any, step: str | int, path: str, where: str) -> list[Any]:
    """Return what is one step below a value. `*` is every element of a list, or the value itself."""
    if step == "*":
        return value if isinstance(value, list) else [value]
    if isinstance(step, int) and isinstance(value, list) and step < len(value):
        return [value[step]]
    if isinstance(value, dict) and step in value:
        return [value[step]]
    names = list(value) if isinstance(value, dict) else []
    raise SourceError(
        f"the page has no {step!r}",
        where=where,
        got=brief(", ".join(names), 200) if isinstance(value, dict) else f"a {type(value).__name__}",
        hint=close_matches(str(step), names) or f"records={path!r} is the path",
    )
