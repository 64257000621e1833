"""Fit the verbs of a table, and keep their statistics with its snapshots.

The statistics of `legs` are the stored relation `statistics.legs`: one row per verb, group and statistic. A release
names it beside the table, so both move together, also back. A verb whose definition has not changed is never fitted
again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.errors import CheckFailed
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import now
from mainstem.nodes.verbs.fitted import Fit, FittedVerb, Group, Statistics, Values
from mainstem.nodes.verbs.values import missing
from mainstem.ports import ReplaceAll, Session, Snapshot

if TYPE_CHECKING:
    from datetime import datetime

    from mainstem.planning.execution import Context

STATISTICS = "statistics."
"""Prefix of the relation that holds a table's fitted statistics."""

SCHEMA = {
    "verb": "string",
    "group": "string",
    "statistic": "string",
    "value": "float64",
    "text": "string",
    "rows": "int64",
    "definition": "string",
    "fitted_at": INSTANT,
}
"""The columns of `statistics.TABLE`. `group` is a JSON list of the group's values as texts, or null for all rows;
`rows` are the values that the statistic was fitted to."""


@dataclass(frozen=True)
class Fitted:
    """The statistics of one verb, with the number of values by group (None: of all rows)."""

    verb: str
    statistics: Statistics
    rows: Mapping[Group | None, int]
    at: datetime


def fit(session: Session, rows: ibis.Table, verb: FittedVerb, spec: Fit, time: str | None, where: str) -> Fitted:
    """Fit a verb to the rows of its window that were known by its end. Raises `CheckFailed` without such values."""
    chosen = _window(rows, verb, spec, time, where)
    keys = {f"_group{n}": chosen[name].cast("string") for n, name in enumerate(verb.groups)}
    values = chosen.filter(~missing(chosen[verb.column])).mutate(_value=chosen[verb.column], **keys)
    (overall,) = session.fetch(verb.measure(values, {})).to_pylist() or [{"rows": 0}]
    if not overall["rows"]:
        raise CheckFailed(
            f"{verb.label} has no value to be fitted to",
            where=where,
            got=verb.describe(),
            expected="at least one value in the window",
        )
    found = session.fetch(verb.measure(values, {name: values[name] for name in keys})).to_pylist() if keys else []
    groups = {tuple(row[name] for name in keys): row for row in found}
    statistics = Statistics(_named(verb, overall), {group: _named(verb, row) for group, row in groups.items()})
    counts: dict[Group | None, int] = {group: row["rows"] for group, row in groups.items()}
    counts[None] = overall["rows"]
    return Fitted(verb.label, statistics, counts, now())


def _named(verb: FittedVerb, row: Mapping[str, Any]) -> dict[str, float | str | None]:
    return {name: row[name] for name in verb.statistics}


def _window(rows: ibis.Table, verb: FittedVerb, spec: Fit, time: str | None, where: str) -> ibis.Table:
    if verb.window is None or time is None:
        return rows
    start, end = verb.window
    if end > now():
        raise CheckFailed(
            f"the window of {verb.label} is not over",
            where=where,
            got=f"until {end:%Y-%m-%d %H:%M:%S} UTC",
            expected="a window that ends before the run",
            hint="later rows of the window would change the statistics, and they are fitted once",
        )
    limit = ibis.literal(end, type=INSTANT)
    at = rows[time].cast(INSTANT)  # a date is the start of its day
    inside = [at < limit] + ([] if start is None else [at >= ibis.literal(start, type=INSTANT)])
    for moment in sorted(spec.known.moments):
        inside.append(rows[moment.column] + ibis.interval(microseconds=moment.offset) < limit)
    return rows.filter(*inside)


# ── keeping ───────────────────────────────────────────────────────────────────────────────────────────


def kept(context: Context, name: str) -> dict[str, Fitted]:
    """Return the statistics of a table in the release, by the definition of the verb."""
    snapshot = context.release.tables.get(STATISTICS + name)
    if snapshot is None:
        return {}
    with context.engine.session({"kept": context.scan(snapshot)}) as session:
        rows = session.fetch(ibis.table(SCHEMA, name="kept")).to_pylist()
    return {definition: _read(rows, definition) for definition in dict.fromkeys(row["definition"] for row in rows)}


def keep(context: Context, name: str, fitted: Mapping[str, Fitted]) -> dict[str, Snapshot]:
    """Commit the statistics of a table. Empty without statistics."""
    import pyarrow as pa

    relation = STATISTICS + name
    base = context.release.tables.get(relation)
    if not fitted and base is None:
        return {}
    target = context.lake.target(relation, SCHEMA)
    rows = pa.Table.from_pylist(list(_written(fitted)), schema=ibis.schema(SCHEMA).to_pyarrow())
    with context.engine.session({"rows": rows}) as session:
        files = session.write(ibis.table(SCHEMA, name="rows"), target)
    return {relation: context.lake.commit(relation, target, files, base=base, run=context.run, change=ReplaceAll())}


def _written(fitted: Mapping[str, Fitted]) -> Iterable[dict[str, Any]]:
    for definition, found in fitted.items():
        own = {"verb": found.verb, "definition": definition, "fitted_at": found.at}
        of_all: tuple[Group | None, Values] = (None, found.statistics.overall)
        for group, values in (of_all, *found.statistics.groups.items()):
            key = None if group is None else json.dumps(group, ensure_ascii=False)
            for name, value in values.items():
                text = isinstance(value, str)
                size = {"value": None if text else value, "text": value if text else None}
                yield {**own, "group": key, "statistic": name, **size, "rows": found.rows[group]}


def _read(rows: Iterable[Mapping[str, Any]], definition: str) -> Fitted:
    groups: dict[Group | None, dict[str, float | str | None]] = {}
    counts: dict[Group | None, int] = {}
    own = [row for row in rows if row["definition"] == definition]
    for row in own:
        group = None if row["group"] is None else tuple(json.loads(row["group"]))
        groups.setdefault(group, {})[row["statistic"]] = row["value"] if row["text"] is None else row["text"]
        counts[group] = row["rows"]
    overall = groups.pop(None)
    statistics = Statistics(overall, {group: values for group, values in groups.items() if group is not None})
    return Fitted(own[0]["verb"], statistics, counts, own[0]["fitted_at"])
