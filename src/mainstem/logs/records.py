"""What stands in the logs: their names, and their payloads as msgpack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mainstem.errors import StorageError
from mainstem.nodes.hidden import (
    ARRIVED,
    DECISION,
    DELETED,
    FLAGS,
    LOGGED_AT,
    PREDICTION,
    ROLE,
    SCORES,
    SEQ,
    VERSION,
    T,
)
from mainstem.ports import Writer

if TYPE_CHECKING:
    import pyarrow as pa


class Event(msgspec.Struct, frozen=True):
    """An event as it was acknowledged: when it reached us, and its row; instants are int µs.

    One that is `deleted` takes back what was acknowledged with the same row; a correction is two, the old row deleted
    and the new one.
    """

    arrived: int
    row: dict[str, Any]
    deleted: bool = False


Role = Literal["champion", "challenger", "shadow"]
CHAMPION: Role = "champion"


class Prediction(msgspec.Struct, frozen=True):
    """An answer as it was given; `row` has the request's columns and every input of the model as it was used.

    `scores` are by name, such as a class, where the version gives several; `role` is what the version was when it gave
    them. Entries that were logged before there were such fields have their defaults.
    """

    id: str
    t: int
    logged_at: int
    version: str
    row: dict[str, Any]
    score: float | None
    flags: str = ""
    scores: dict[str, float] = {}
    decision: bool | str | None = None
    role: Role = CHAMPION


encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(Event).decode
decode_prediction = msgspec.msgpack.Decoder(Prediction).decode


def append(writer: Writer, log: str, payloads: Sequence[bytes], floor: int = 0) -> int:
    """Append to a log that had at least `floor` payloads; the offset of the first.

    Raises `StorageError` if it has fewer now: then nothing may be added, or offsets would be given twice.
    """
    first = writer.append(log, payloads)
    if first < floor:
        raise StorageError(
            f"the log {log!r} is gone from the online store",
            got=f"a log that ends before offset {first}",
            expected=f"at least {floor} entries, as many as are in the lake",
            hint="mainstem run continues it from there; acknowledged entries that are not yet in the lake are lost",
        )
    return first


def events_of(stream: str) -> str:
    """The log of a stream's events."""
    return f"events/{stream}"


def predictions_of(endpoint: str) -> str:
    """The log of an endpoint's predictions."""
    return f"predictions/{endpoint}"


def event_row(offset: int, payload: bytes) -> Mapping[str, Any]:
    """A payload of `events/NAME` as a row of the stream's stored relation."""
    event = decode_event(payload)
    return {**event.row, SEQ: offset, ARRIVED: event.arrived, DELETED: event.deleted}


def event_columns(logged: Sequence[tuple[int, bytes]]) -> dict[str, list[Any]]:
    """Return entries `(offset, payload)` of `events/NAME` as columns of the stream's stored relation."""
    events = [decode_event(payload) for _, payload in logged]
    names = dict.fromkeys(name for event in events for name in event.row)
    columns: dict[str, list[Any]] = {name: [event.row.get(name) for event in events] for name in names}
    return columns | {
        SEQ: [offset for offset, _ in logged],
        ARRIVED: [event.arrived for event in events],
        DELETED: [event.deleted for event in events],
    }


def to_arrow(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    """Return values of a logged column as an Arrow array: instants are int µs there, and dates text.

    Raises `pyarrow.ArrowInvalid` or `pyarrow.ArrowTypeError` for values of another type.
    """
    import pyarrow as pa

    if pa.types.is_date(type):
        return pa.array(values, type=pa.string()).cast(type)
    return pa.array(values, type=type)


def prediction_row(offset: int, payload: bytes) -> Mapping[str, Any]:
    """A payload of `predictions/NAME` as a row of the relation `predictions.NAME`."""
    made = decode_prediction(payload)
    return {
        **made.row,
        PREDICTION: made.id,
        T: made.t,
        LOGGED_AT: made.logged_at,
        VERSION: made.version,
        "score": made.score,
        FLAGS: made.flags,
        SCORES: json.dumps(made.scores, ensure_ascii=False) if made.scores else None,
        DECISION: json.dumps(made.decision) if isinstance(made.decision, bool) else made.decision,
        ROLE: made.role,
    }
