"""How far a source was read: the greatest value of its cursor column, and the stored rows with that value.

A server may return rows from a value on or beyond it, and more rows with the greatest value may come later. Therefore
rows with the last value are requested again, and rows that are already stored are recognised by their digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


class Watermark:
    """Passes only rows that were not read before, and records how far it got."""

    def __init__(self, column: str, cursor: str | None) -> None:
        self.column = column
        state = json.loads(cursor) if cursor else {}
        self._last: Any = state.get("last")
        self._seen = frozenset(state.get("seen", ()))
        self._greatest: Any = None
        self._there: set[str] = set()

    def fresh(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch beyond the last value, and the unseen rows at it.

        Once there is a last value, rows with null in the cursor column are dropped.
        """
        column = batch.column(self.column)
        if self._last is not None:
            last = _parsed(self._last, column.type)
            batch = batch.filter(pc.fill_null(pc.greater_equal(column, last), False))
            batch = batch.filter(pa.array(self._unseen(batch, last), pa.bool_()))
        self._advance(batch)
        return batch

    def unread(self, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return the rows that were not read before, of rows at or beyond the last value; with the order of SQLite."""
        place, found = names.index(self.column), list[tuple[Any, ...]]()
        for row in rows:
            value, told = row[place], dict(zip(names, row, strict=True))
            if self._last is not None and value == self._last and self._is_seen(told):
                continue
            found.append(row)
            if value is None or (self._greatest is not None and _rank(value) < _rank(self._greatest)):
                continue
            if value != self._greatest:
                self._greatest, self._there = value, set()
            self._there.add(digest(told))
        return found

    def text(self) -> str | None:
        """Return the cursor to save, after all batches; None if there was no value."""
        last, there = self._last, set(self._seen)
        if self._greatest is not None and plain(self._greatest) != self._last:
            last, there = plain(self._greatest), set()
        return None if last is None else json.dumps({"last": last, "seen": sorted(there | self._there)})

    def _unseen(self, batch: pa.RecordBatch, last: pa.Scalar) -> list[bool]:
        at_last = pc.equal(batch.column(self.column), last).to_pylist()
        return [not at or not self._is_seen(batch.slice(row, 1).to_pylist()[0]) for row, at in enumerate(at_last)]

    def _is_seen(self, row: Mapping[str, Any]) -> bool:
        return digest(row) in self._seen or _earlier_digest(row) in self._seen

    def _advance(self, batch: pa.RecordBatch) -> None:
        column = batch.column(self.column)
        greatest = pc.max(column).as_py()
        if greatest is None or (self._greatest is not None and greatest < self._greatest):
            return
        if greatest != self._greatest:
            self._greatest, self._there = greatest, set()
        there = batch.filter(pc.fill_null(pc.equal(column, _parsed(plain(greatest), column.type)), False))
        self._there |= {digest(row) for row in there.to_pylist()}


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


def _rank(value: Any) -> tuple[int, Any]:
    """Return the place of a value in SQLite's order: numbers, texts, blobs."""
    return (2 if isinstance(value, bytes) else 1 if isinstance(value, str) else 0), value


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
