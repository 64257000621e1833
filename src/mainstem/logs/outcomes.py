"""The log of outcomes that clients send: its name, and its payloads as msgpack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mainstem.nodes.hidden import ARRIVED, PREDICTION, SENT, SEQ


class SentOutcome(msgspec.Struct, frozen=True):
    """The outcome of a prediction, or of an answer, by its id; and when it arrived (µs)."""

    id: str
    value: bool | int | float | str
    arrived: int


encode_outcome = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SentOutcome).decode


def outcomes_of(endpoint: str) -> str:
    """Return the name of the log of an endpoint's outcomes."""
    return f"outcomes/{endpoint}"


def outcomes_table(endpoint: str) -> str:
    """Return the stored relation that a run drains them to."""
    return f"outcomes.{endpoint}"


def outcome_row(offset: int, payload: bytes) -> Mapping[str, Any]:
    """Return a payload of `outcomes/NAME` as a row of the relation `outcomes.NAME`."""
    sent = _decode(payload)
    return {PREDICTION: sent.id, SENT: sent.value, SEQ: offset, ARRIVED: sent.arrived}
