"""The entries of a log of predictions: one prediction, or a block of predictions that were logged together, as columns.

A block has a third of the bytes of its rows. It begins with a byte that msgpack never uses, the version of the format
and the number of its predictions, and takes one offset for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from struct import Struct
from typing import Any

import msgspec

from mainstem.errors import StorageError
from mainstem.logs import records
from mainstem.logs.records import Prediction, decode_prediction, predictions_of
from mainstem.nodes.hidden import (
    DECISION,
    FLAGS,
    LOGGED_AT,
    OFFERED,
    POLICY,
    PREDICTION,
    PROPENSITY,
    QUOTAS,
    RANK,
    REQUEST,
    ROLE,
    SCORES,
    VALUES,
    VERSION,
    T,
)
from mainstem.ports import EventLog, Writer

FEWEST = 16
"""Fewer predictions are logged one by one."""
MOST = 1_000
"""The most predictions of a block: readers hold whole blocks in memory."""

_MARK, _FORMAT = b"\xc1rows", 1
_HEAD = Struct(">5sBI")
_COMPARED = frozenset({type(None), bool, int, str, dict})
_DEFAULT = Prediction("", 0, 0, "", {}, None)
_FIELDS = tuple(name for name in Prediction.__struct_fields__ if name != "row")
_fields_of = attrgetter(*_FIELDS)


class Block(msgspec.Struct, frozen=True, array_like=True):
    """The fields of predictions, and the columns of their rows. Those with one value throughout are in `same_fields`
    and `same_columns`; default values are not stored. A row that lacked a column has null there."""

    same_fields: dict[str, Any]
    fields: dict[str, list[Any]]
    same_columns: dict[str, Any]
    columns: dict[str, list[Any]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Block).decode


def append(writer: Writer, endpoint: str, predictions: Sequence[Prediction], floor: int = 0) -> int:
    """Append predictions to the endpoint's log and return the first offset. The log must hold at least `floor`.

    Raises `StorageError` if it holds fewer now.
    """
    payloads, sizes = payloads_of(predictions)
    return records.append(writer, predictions_of(endpoint), payloads, floor, sizes)


def payloads_of(predictions: Sequence[Prediction], fewest: int = FEWEST) -> tuple[list[bytes], list[int] | None]:
    """Return the entries that log predictions, in order, and the number of predictions in each.

    Fewer than `fewest` are one entry each, and the numbers are None.
    """
    if len(predictions) < fewest:
        return [records.encode(each) for each in predictions], None
    parts = [predictions[n : n + MOST] for n in range(0, len(predictions), MOST)]
    return [encode_block(part) for part in parts], [len(part) for part in parts]


def encode_block(predictions: Sequence[Prediction]) -> bytes:
    """Return predictions, at least one, as a block."""
    fields = dict(zip(_FIELDS, zip(*map(_fields_of, predictions), strict=True), strict=True))
    same, differing = _parted(fields)
    stored = {name: value for name, value in same.items() if value != getattr(_DEFAULT, name)}
    block = Block(stored, differing, *_parted(_transposed([each.row for each in predictions])))
    return _HEAD.pack(_MARK, _FORMAT, len(predictions)) + _encode(block)


def is_block(payload: bytes) -> bool:
    """Return whether an entry is a block."""
    return payload.startswith(_MARK)


def size_of(payload: bytes) -> int:
    """Return the number of offsets that an entry takes. Of a damaged block the head is read."""
    if not is_block(payload) or len(payload) < _HEAD.size:
        return 1
    return max(1, int(_HEAD.unpack_from(payload)[2]))


def logged_predictions(log: EventLog, endpoint: str, start: int = 0) -> Iterator[Prediction]:
    """Yield the predictions of an endpoint's log from an offset on. A block that begins before is left out."""
    for _, payload in log.entries(predictions_of(endpoint), start):
        yield from predictions_in(payload)


def predictions_in(payload: bytes) -> list[Prediction]:
    """Return the predictions of an entry. Raises as `columns_in`."""
    if not is_block(payload):
        return [decode_prediction(payload)]
    count, block = _opened(payload)
    columns = _whole(block.columns, block.same_columns, count)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    fields = [dict(zip(_FIELDS, each, strict=True)) for each in zip(*_all_fields(block, count).values(), strict=True)]
    return [Prediction(row=row, **each) for row, each in zip(rows or [{} for _ in fields], fields, strict=True)]


def each_row(offset: int, payload: bytes) -> list[tuple[int, bytes]]:
    """Return the predictions of a block as entries, each with its offset. Another entry, or a damaged block, is
    returned as it is."""
    if not is_block(payload):
        return [(offset, payload)]
    try:
        found = predictions_in(payload)
    except (ValueError, msgspec.DecodeError):
        return [(offset, payload)]
    return [(offset + place, records.encode(each)) for place, each in enumerate(found)]


def columns_in(payload: bytes) -> Mapping[str, Sequence[Any]]:
    """Return a block as columns of the relation `predictions.NAME`.

    Raises `ValueError` or `msgspec.DecodeError` for a damaged one, and `StorageError` for one of a later format.
    """
    count, block = _opened(payload)
    found = _whole(block.columns, block.same_columns, count)
    for name, values in _all_fields(block, count).items():
        column, convert = _STORED[name]
        if convert is None:
            found[column] = values
        elif name in block.fields:
            found[column] = [convert(value) for value in values]
        else:
            found[column] = [convert(values[0])] * count
    return found


def prediction_row(offset: int, payload: bytes) -> Mapping[str, Any]:
    """Return an entry that is one prediction as a row of the relation `predictions.NAME`."""
    made = decode_prediction(payload)
    row = dict(made.row)
    for name, (column, convert) in _STORED.items():
        value = getattr(made, name)
        row[column] = value if convert is None else convert(value)
    return row


def _opened(payload: bytes) -> tuple[int, Block]:
    if len(payload) < _HEAD.size:
        raise ValueError("a block of predictions ends within its head")
    _, format, count = _HEAD.unpack_from(payload)
    if format != _FORMAT:
        raise StorageError(
            "a log has predictions in a later format",
            got=f"format {format}",
            expected=f"format {_FORMAT}",
            hint="run the version of Mainstem that serves",
        )
    if not count:
        raise ValueError("a block without predictions")
    return count, _decode(payload[_HEAD.size :])


def _whole(differing: Mapping[str, Sequence[Any]], same: Mapping[str, Any], count: int) -> dict[str, Sequence[Any]]:
    if wrong := [name for name, values in differing.items() if len(values) != count]:
        raise ValueError(f"a block of {count} predictions has another number of values of {', '.join(wrong)}")
    return {**differing, **{name: [value] * count for name, value in same.items()}}


def _all_fields(block: Block, count: int) -> dict[str, Sequence[Any]]:
    found = _whole(block.fields, block.same_fields, count)
    return {name: found[name] if name in found else [getattr(_DEFAULT, name)] * count for name in _FIELDS}


def _transposed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """Return rows as columns, with null where a row lacks a column."""
    names = list(rows[0])
    if len(names) > 1 and all(len(row) == len(names) for row in rows):
        try:
            return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
        except KeyError:
            pass
    every = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in every}


def _parted(columns: Mapping[str, Sequence[Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of the columns that have one value throughout, and the other columns.

    Floats are not compared: 0.0 equals -0.0.
    """
    same, differing = dict[str, Any](), dict[str, Any]()
    for name, values in columns.items():
        first = values[0]
        if first.__class__ in _COMPARED and first == values[-1] and _is_same(first, values):
            same[name] = first
        else:
            differing[name] = values
    return same, differing


def _is_same(first: Any, values: Sequence[Any]) -> bool:
    if first.__class__ is dict and first:
        return False
    return values.count(first) == len(values) and len(set(map(type, values))) == 1


def _json(named: Mapping[str, Any]) -> str | None:
    return json.dumps(named, ensure_ascii=False) if named else None


def _decided(decision: bool | str | None) -> str | None:
    return ("true" if decision else "false") if isinstance(decision, bool) else decision


_STORED: Mapping[str, tuple[str, Callable[[Any], Any] | None]] = {
    "id": (PREDICTION, None),
    "t": (T, None),
    "logged_at": (LOGGED_AT, None),
    "version": (VERSION, None),
    "score": ("score", None),
    "flags": (FLAGS, None),
    "scores": (SCORES, _json),
    "decision": (DECISION, _decided),
    "role": (ROLE, None),
    "policy": (POLICY, None),
    "values": (VALUES, _json),
    "quotas": (QUOTAS, _json),
    "request": (REQUEST, None),
    "rank": (RANK, None),
    "offered": (OFFERED, None),
    "propensity": (PROPENSITY, None),
}
"""Field → column of the relation `predictions.NAME`, and how it is stored there."""
