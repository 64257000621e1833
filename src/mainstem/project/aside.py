"""What is set aside of a node, and why: rows in quarantine, and messages that are no rows."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mainstem.checks.audit import QUARANTINE
from mainstem.errors import NotFound
from mainstem.nodes.hidden import CHECK, FILE, ORIGIN, RAW, RUN, SEQ, SET_ASIDE_AT, is_hidden
from mainstem.nodes.status import StoredDetails
from mainstem.project.branch import Branch

UNREADABLE = "unreadable."
"""Prefix of the relation with messages and log entries that are no rows."""

REASONS = 10
"""The most reasons that are shown."""


def quarantined(branch: Branch, name: str, limit: int = 10) -> StoredDetails:
    """Return the rows of a source or a table that are set aside: the number of each reason, and up to `limit` rows with
    the reason, where each came from, and the row. Messages and log entries that are no rows are among them. Raises
    `UnknownName`, and `NotFound` without such rows."""
    own = branch.sound[name].name
    named = {QUARANTINE + own: _set_aside, UNREADABLE + own: _unreadable}
    held = {relation: branch.release.tables[relation] for relation in named if relation in branch.release.tables}
    held = {relation: snapshot for relation, snapshot in held.items() if snapshot.rows}
    if not held:
        raise NotFound(f"no row of {name!r} is set aside", hint=f"mainstem show {name}")
    reasons, rows = Counter[str](), list[dict[str, Any]]()
    with branch.reading("show").session(held) as session:
        for relation in held:
            reason = CHECK if relation.startswith(QUARANTINE) else "reason"
            counted = f'SELECT "{reason}" AS r, count(*) AS n FROM "{relation}" GROUP BY 1 ORDER BY 2 DESC'
            reasons.update({str(row["r"]): row["n"] for row in session.fetch(f"{counted} LIMIT {REASONS}").to_pylist()})
            newest = f'SELECT * FROM "{relation}" ORDER BY "{SET_ASIDE_AT}" DESC LIMIT {limit - len(rows)}'
            rows += [named[relation](row) for row in session.fetch(newest).to_pylist()]
    return StoredDetails(
        name=next(iter(held)),
        kind="rows set aside",
        rows=sum(snapshot.rows for snapshot in held.values()),
        reasons={reason: f"{count:,}" for reason, count in reasons.most_common(REASONS)},
        schema={},
        sample=rows,
    )


def _set_aside(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {column: value for column, value in row.items() if not is_hidden(column) and value is not None}
    return {
        "reason": row[CHECK],
        "from": row.get(ORIGIN) or row.get(FILE),
        "row": row.get(RAW) or json.dumps(values, default=str, ensure_ascii=False),
        "run": row[RUN],
    }


def _unreadable(row: Mapping[str, Any]) -> dict[str, Any]:
    origin = row.get(ORIGIN)
    told = row.get(RAW) or (base64.b64decode(row["payload"]).decode() if origin else row["payload"])
    return {"reason": row["reason"], "from": origin or f"log entry {row[SEQ]}", "row": told, "run": row[RUN]}
