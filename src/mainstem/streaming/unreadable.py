"""Log entries that are no row: kept as they are, with the reason, in `unreadable.RELATION`. The drain goes on."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

import ibis
import pyarrow as pa

from mainstem.nodes.hidden import RUN, SEQ, SET_ASIDE_AT
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import now
from mainstem.planning.execution import Context
from mainstem.ports import Append, Snapshot

PREFIX = "unreadable."
REASON, PAYLOAD = "reason", "payload"
SCHEMA = {SEQ: "int64", REASON: "string", PAYLOAD: "string", RUN: "string", SET_ASIDE_AT: INSTANT}
"""The offset in the log, why the entry is no row, its bytes in base64, the run, and when it was set aside."""


class Unreadable(NamedTuple):
    """A log entry that cannot be written as a row, and why."""

    offset: int
    payload: bytes
    reason: str


def keep(context: Context, relation: str, found: Sequence[Unreadable]) -> dict[str, Snapshot]:
    """Commit entries beside those of earlier runs. Return an empty mapping without entries."""
    if not found:
        return {}
    name, moment = PREFIX + relation, now()
    target, base = context.lake.target(name, SCHEMA), context.release.tables.get(name)
    rows = {
        SEQ: [each.offset for each in found],
        REASON: [each.reason for each in found],
        PAYLOAD: [base64.b64encode(each.payload).decode() for each in found],
        RUN: [context.run] * len(found),
        SET_ASIDE_AT: [moment] * len(found),
    }
    schema = ibis.schema(SCHEMA).to_pyarrow()
    with context.engine.session({"unreadable": pa.table(rows, schema=schema)}) as session:
        files = session.write(ibis.table(SCHEMA, name="unreadable"), target)
    return {name: context.lake.commit(name, target, files, base=base, run=context.run, change=Append())}
