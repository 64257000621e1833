"""How far a source was read: the greatest value of its cursor column, and the stored rows with that value.

A server may return rows from a value on or beyond it, and more rows with the greatest value may come later. Therefore
rows with the last value are requested again, and rows that are already stored are recognised by their digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import SourceError
from mainstem.nodes.durations import microseconds


class Watermark:
    """Passes only rows that were not read before, and records how far it got. With `again` it passes all rows, because
    those that were read before replace themselves."""

    def __init__(self, column: str, cursor: str | None, again: bool = False) -> None:
        self.column = column
        self._again = again
        state = json.loads(cursor) if cursor else {}
        self._last: Any = state.get("last")
        self._seen = frozenset(state.get("seen", ()))
        self._odd = frozenset[str](state.get("odd", ()))
        self._greatest: Any = None
        self._type: Any = None
        self._there: set[str] = set()
        self._new_odd: set[str] = set()
        self._at_last: set[str] = set()

    def fresh(self, batch: pa.RecordBatch, values: pa.Array | None = None) -> pa.RecordBatch:
        """Return the rows of a batch beyond the last value, and the unseen rows at it.

        `values` are those of the cursor, if the batch has them in another type. Once there is a last value, rows with
        null in the cursor column are dropped.
        """
        column = batch.column(self.column) if values is None else values
        if self._last is not None and not self._again:
            last = _parsed(self._last, column.type)
            beyond = pc.fill_null(pc.greater_equal(column, last), False)
            batch, column = batch.filter(beyond), column.filter(beyond)
            unseen = self._unseen(batch, column, last)
            batch, column = batch.filter(unseen), column.filter(unseen)
        elif self._last is not None:
            at_last = pc.fill_null(pc.equal(column, _parsed(self._last, column.type)), False)
            self._at_last |= {digest(row) for row in batch.filter(at_last).to_pylist()}
        self._advance(batch, column)
        return batch

    def unseen(self, odd: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch that were not read before, by their digests: their cursors are no values of its
        type."""
        digests = [digest(row) for row in odd.to_pylist()]
        self._new_odd |= set(digests)
        return odd if self._again else odd.filter(pa.array([each not in self._odd for each in digests], pa.bool_()))

    def text(self) -> str | None:
        """Return the cursor to save, after all batches; None if there was no value."""
        last, there = self._last, set(self._seen)
        if self._greatest is not None and self._is_later():
            last, there = plain(self._greatest), set()
        if last is None:
            return None
        odd = self._odd | self._new_odd
        return json.dumps({"last": last, "seen": sorted(there | self._there), **({"odd": sorted(odd)} if odd else {})})

    def text_of_span(self) -> str | None:
        """Return the cursor to save after a span was read again. The next run goes on where it would have: there may be
        rows before the span that were not read."""
        if self._last is None:
            return None
        odd = {"odd": sorted(self._odd)} if self._odd else {}
        return json.dumps({"last": self._last, "seen": sorted(self._seen | self._at_last), **odd})

    def _is_later(self) -> bool:
        """Return whether the greatest value of this time is beyond the last one."""
        if self._last is None or not self._again:
            return bool(plain(self._greatest) != self._last)
        return bool(self._greatest > _parsed(self._last, self._type).as_py())

    def _unseen(self, batch: pa.RecordBatch, column: pa.Array, last: pa.Scalar) -> pa.Array:
        at_last = pc.equal(column, last).to_pylist()
        unseen = (not at or not self._is_seen(batch.slice(row, 1).to_pylist()[0]) for row, at in enumerate(at_last))
        return pa.array(unseen, pa.bool_())

    def _is_seen(self, row: Mapping[str, Any]) -> bool:
        return digest(row) in self._seen or _earlier_digest(row) in self._seen

    def _advance(self, batch: pa.RecordBatch, column: pa.Array) -> None:
        self._type = column.type
        greatest = pc.max(column).as_py()
        if self._greatest is not None:  # the type of the column may have become wider
            self._greatest = _parsed(plain(self._greatest), column.type).as_py()
        if greatest is None or (self._greatest is not None and greatest < self._greatest):
            return
        if greatest != self._greatest:
            self._greatest, self._there = greatest, set()
        there = batch.filter(pc.fill_null(pc.equal(column, _parsed(plain(greatest), column.type)), False))
        self._there |= {digest(row) for row in there.to_pylist()}


def earlier(last: Any, lag: str | int | None, type: str, where: str) -> Any:
    """Return the value of a cursor that is `lag` before the last one, as JSON. Raises `SourceError` for a lag that does
    not fit the type of the cursor."""
    if lag is None or last is None:
        return last
    is_time = type.startswith(("timestamp", "date"))
    if is_time != isinstance(lag, str):
        raise SourceError(
            "the lag does not fit the cursor",
            where=where,
            got=f"lag={lag!r} of a cursor of type {type}",
            expected='a duration, lag="1h"' if is_time else "a whole number, lag=1000",
        )
    if not isinstance(lag, str):
        return str(Decimal(last) - lag) if isinstance(last, str) else last - lag
    length = timedelta(microseconds=microseconds(lag))
    if type.startswith("date"):
        return (date.fromisoformat(last[:10]) - max(length, timedelta(days=1))).isoformat()
    return plain(datetime.fromisoformat(last) - length)


def inside(column: pa.Array, since: Any, until: Any) -> pa.Array:
    """Return whether values of a cursor are from `since` on and before `until`, as JSON; None for no end."""
    kept = pc.greater_equal(column, _parsed(since, column.type))
    if until is not None:
        kept = pc.and_(kept, pc.less(column, _parsed(until, column.type)))
    return pc.fill_null(kept, False)


def digest(row: Mapping[str, Any]) -> str:
    """Return a short hash of one row. A new column without a value, or a wider type, does not change it."""
    told = {name: _told(value) for name, value in row.items() if value is not None}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _told(value: Any) -> Any:
    """Return a value as the same text for all types that it may widen to."""
    value = plain(value)
    if isinstance(value, str):
        return value.removesuffix("T00:00:00Z")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else json.dumps(value, default=str)


def _earlier_digest(row: Mapping[str, Any]) -> str:
    """Return the hash that cursors held before schemas could change."""
    return hashlib.sha256(json.dumps([row], sort_keys=True, default=str).encode()).hexdigest()[:16]


def plain(value: Any) -> Any:
    """Return a value for JSON: instants and dates as ISO 8601 texts, in UTC; decimals as texts."""
    if isinstance(value, datetime):
        instant = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return instant.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


def _parsed(value: Any, type: pa.DataType) -> pa.Scalar:
    if pa.types.is_timestamp(type):
        instant = datetime.fromisoformat(value)
        return pa.scalar(instant if type.tz else instant.replace(tzinfo=None), type)
    if pa.types.is_decimal(type):
        return pa.scalar(Decimal(value), type)
    return pa.scalar(date.fromisoformat(value) if pa.types.is_date(type) else value, type)
