"""The log of what shadows scored: its name, and its payloads as msgpack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from mainstem.logs import records
from mainstem.nodes.hidden import DECISION, LOGGED_AT, PREDICTION, SCORES, VERSION
from mainstem.nodes.instants import INSTANT
from mainstem.ports import Writer


class Shadowed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a version that did not answer says of a prediction, by the prediction's id; and when it was logged (µs).

    The features are those of the prediction. `score`, `scores` and `decision` are as in a prediction.
    """

    id: str
    at: int
    version: str
    score: float | None
    scores: dict[str, float] = {}
    decision: bool | str | None = None


SCHEMA: Mapping[str, str] = {
    PREDICTION: "string",
    LOGGED_AT: INSTANT,
    VERSION: "string",
    "score": "float64",
    SCORES: "string",
    DECISION: "string",
}
"""Column → Ibis type of the relation `shadows.NAME`."""

_encode = msgspec.msgpack.Encoder().encode
decode_shadowed = msgspec.msgpack.Decoder(Shadowed).decode


def shadows_of(endpoint: str) -> str:
    """Return the name of the log of what the shadows of an endpoint scored."""
    return f"shadows/{endpoint}"


def shadows_table(endpoint: str) -> str:
    """Return the stored relation that a run drains it to."""
    return f"shadows.{endpoint}"


def append_shadowed(writer: Writer, endpoint: str, found: Sequence[Shadowed], floor: int = 0) -> int:
    """Append to the log, which must hold at least `floor` entries, and return the first offset.

    Raises `StorageError` if it holds fewer now.
    """
    return records.append(writer, shadows_of(endpoint), [_encode(each) for each in found], floor)


def shadowed_row(offset: int, payload: bytes) -> Mapping[str, Any]:
    """Return a payload of `shadows/NAME` as a row of the relation `shadows.NAME`."""
    made = decode_shadowed(payload)
    return {
        PREDICTION: made.id,
        LOGGED_AT: made.at,
        VERSION: made.version,
        "score": made.score,
        SCORES: json.dumps(made.scores, ensure_ascii=False) if made.scores else None,
        DECISION: json.dumps(made.decision) if isinstance(made.decision, bool) else made.decision,
    }
