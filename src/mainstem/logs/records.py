"""The logs: their names, and their payloads as msgpack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mainstem.errors import StorageError
from mainstem.nodes.hidden import (
    ARRIVED,
    DELETED,
    SEQ,
)
from mainstem.ports import Writer

if TYPE_CHECKING:
    import pyarrow as pa


SOURCE = "_source"
"""The key of an event's partition and offset in its row. It is not stored."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """An acknowledged event: its time of arrival and its row. Instants are int µs.

    A `deleted` event retracts a row: `retracts`, the row of the same event that landed last, or its own row if None.
    A correction is two events: the deleted old row and the new row. `source` are partition and offset of the message of
    a topic that the event came in.
    """

    arrived: int
    row: dict[str, Any]
    deleted: bool = False
    retracts: dict[str, Any] | None = None
    source: tuple[int, int] | None = None

    @property
    def subject(self) -> dict[str, Any]:
        """The row that the event adds or retracts."""
        return self.row if self.retracts is None else self.retracts


Role = Literal["champion", "challenger", "shadow"]
CHAMPION: Role = "champion"


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """A logged answer. `row` holds the request's columns and every input of the model as it was used.

    `scores` are by name, such as a class, if the version gives several. `role` is the version's role when it answered.
    `policy` is the version of the policy that decided, `values` the value of each option, and `quotas` how often each
    limited option was taken in its window before. `request` is the id of the answer that chose this candidate, `rank`
    its place from 1 on, `offered` the number of candidates, and `propensity` the probability that it got the place.
    Entries from before these fields existed have the defaults, and defaults are not stored.
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
    policy: str | None = None
    values: dict[str, float | None] = {}
    quotas: dict[str, int] = {}
    request: str | None = None
    rank: int | None = None
    offered: int | None = None
    propensity: float | None = None


encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(Event).decode
decode_prediction = msgspec.msgpack.Decoder(Prediction).decode


def append(
    writer: Writer, log: str, payloads: Sequence[bytes], floor: int = 0, sizes: Sequence[int] | None = None
) -> int:
    """Append to a log that ended at least at offset `floor`, and return the first new offset. `sizes` are the numbers
    of offsets that payloads take.

    Raises `StorageError` if the log ends before: an append would use offsets twice.
    """
    first = writer.append(log, payloads, sizes)
    if first < floor:
        raise StorageError(
            f"the log {log!r} is gone from the online store",
            got=f"a log that ends before offset {first}",
            expected=f"at least {floor} entries, as many as are in the lake",
            hint="mainstem run continues it from there; acknowledged entries that are not yet in the lake are lost",
        )
    return first


def events_of(stream: str) -> str:
    """Return the name of the log of a stream's events."""
    return f"events/{stream}"


def predictions_of(endpoint: str) -> str:
    """Return the name of the log of an endpoint's predictions."""
    return f"predictions/{endpoint}"


def event_row(offset: int, payload: bytes) -> Mapping[str, Any]:
    """Return a payload of `events/NAME` as a row of the stream's stored relation, with its `SOURCE`, if it has one."""
    event = decode_event(payload)
    return {**event.row, SEQ: offset, ARRIVED: event.arrived, DELETED: event.deleted, SOURCE: event.source}


def event_columns(logged: Sequence[tuple[int, bytes]]) -> dict[str, list[Any]]:
    """Return entries `(offset, payload)` of `events/NAME` as columns for states: a deletion has the row it retracts."""
    events = [decode_event(payload) for _, payload in logged]
    names = dict.fromkeys(name for event in events for name in event.subject)
    columns: dict[str, list[Any]] = {name: [event.subject.get(name) for event in events] for name in names}
    return columns | {
        SEQ: [offset for offset, _ in logged],
        ARRIVED: [event.arrived for event in events],
        DELETED: [event.deleted for event in events],
    }


def to_arrow(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    """Return values of a logged column as an Arrow array. The log holds instants as int µs and dates as text.

    Raises `pyarrow.ArrowInvalid` or `pyarrow.ArrowTypeError` for a value of another type.
    """
    import pyarrow as pa

    if pa.types.is_date(type):
        return pa.array(values, type=pa.string()).cast(type)
    return pa.array(values, type=type)
