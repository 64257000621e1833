"""Changes of events, as change data capture sends them: the row before and the row after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mainstem.errors import RequestError, close_matches
from mainstem.logs.records import Event
from mainstem.masking import brief_value
from mainstem.streaming.rows import RowSchema, parse_instant

FIELDS = ("before", "after", "at")


def changes_in(rows: Sequence[Any], schema: RowSchema, time: str, arrived: int | None) -> list[Event]:
    """Return the events of changes: for each, the old row as deleted, and the new row.

    They arrive at `arrived` (µs). With None (a backfill) they arrive at the change's `at`, else at the event's time.
    Raises `RequestError` for the first invalid change, or a row that does not fit the schema.
    """
    return [event for index, change in enumerate(rows) for event in _events(change, index, schema, time, arrived)]


def _events(change: Any, index: int, schema: RowSchema, time: str, arrived: int | None) -> Iterator[Event]:
    place = f"events[{index}]"
    _is_change(change, f"{schema.where}, {place}")
    made = _made(change, f"{schema.where}, {place}.at")
    for side in ("before", "after"):
        if change.get(side) is not None:
            (row,) = schema.check([change[side]], f"{place}.{side}")
            when = arrived if arrived is not None else row[time] if made is None else made
            yield Event(when, row, deleted=side == "before")


def _is_change(change: Any, where: str) -> None:
    expected = '{"before": the row as it was sent, or null, "after": the row as it is now, or null}'
    if not isinstance(change, dict):
        raise RequestError("a change is not a JSON object", where=where, got=brief_value(change), expected=expected)
    unknown = next((name for name in change if name not in FIELDS), None)
    if unknown is not None:
        hint = close_matches(unknown, FIELDS) or "the stream is declared with changes=True"
        raise RequestError(
            f"unknown field {unknown!r} in a change", where=where, got=unknown, expected=expected, hint=hint
        )
    if change.get("before") is None and change.get("after") is None:
        raise RequestError("a change has neither `before` nor `after`", where=where, expected=expected)


def _made(change: dict[str, Any], where: str) -> int | None:
    if change.get("at") is None:
        return None
    try:
        return parse_instant(change["at"])
    except ValueError as problem:
        raise RequestError(
            "`at` is not an instant", where=where, got=brief_value(change["at"]), hint=str(problem)
        ) from None
