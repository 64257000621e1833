"""The interpreters of a feature view as functions for the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import ibis
import pyarrow as pa

from mainstem.features.offline.join import AsOf, join
from mainstem.features.online.view import OnlineView
from mainstem.features.views.view import CompiledView, Lookup
from mainstem.nodes.hidden import ARRIVED, DELETED, GONE, SEQ
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.ports import Engine, OnlineStore
from mainstem.testing.features import SCHEMA, Event, Interpreter, Query

HIDDEN = {SEQ: "int64", ARRIVED: INSTANT}
RETRACTED = {GONE: INSTANT}


def offline(engine: Engine, as_of: AsOf = "arrived") -> Interpreter:
    """Compute features by the point-in-time join on an engine."""

    @lru_cache
    def query(view: CompiledView) -> tuple[ibis.Table | str, pa.Schema]:
        examples = ibis.table({"_row": "int64", "_t": INSTANT, **view.key}, name="examples")
        found = join(examples, "_t", [Lookup(view, tuple(view.key), "f")], as_of).order_by("_row")
        written = str(ibis.to_sql(found, dialect="duckdb")) if engine.dialect == "duckdb" else found
        return written, found.schema().to_pyarrow()

    def run(view: CompiledView, events: Sequence[Event], queries: Sequence[Query]) -> list[dict[str, Any]]:
        kinds = {"_row": "int64", "_t": INSTANT, **view.key}
        rows = [{"_row": i, "_t": t, **dict(zip(view.key, key, strict=True))} for i, (key, t) in enumerate(queries)]
        stored = {**SCHEMA, **HIDDEN, **(RETRACTED if view.retracts else {})}
        relations = {"events": _arrow(events, stored), "examples": _arrow(rows, kinds)}
        sql, schema = query(view)  # compiled once, because compiling takes longer than running
        with engine.session(relations) as session:
            table = session.fetch(sql).cast(schema).drop_columns(list(kinds))
        return [{name.removeprefix("f__"): _plain(v) for name, v in row.items()} for row in table.to_pylist()]

    return run


def online(store: OnlineStore, batch: int = 3) -> Interpreter:
    """Compute features online: events are applied a few at a time, then read."""
    rounds = iter(range(1 << 62))

    def run(view: CompiledView, events: Sequence[Event], queries: Sequence[Query]) -> list[dict[str, Any]]:
        states = _states(view, store, next(rounds))
        log = logged(view, events)
        for few in _together(log) if view.chain else _batches(log, max(batch, len(log) // 1_000)):
            take(states, few)
        found = states[-1].read([key for key, _ in queries], [t for _, t in queries])
        return [reading.values for reading in found]

    return run


def logged(view: CompiledView, events: Sequence[Event]) -> list[Event]:
    """Return events as in a log. In a stream of changes, deletions follow."""
    return [*events, *_deletions(events)] if view.retracts else list(events)


def take(states: Sequence[OnlineView], events: Sequence[Event]) -> None:
    """Apply events of a log to some states in one transaction."""
    columns = columns_of(events)
    with states[0].store.transaction() as writer:
        for state in states:
            state.apply(writer, columns)


def columns_of(events: Sequence[Event]) -> dict[str, list[Any]]:
    """Return events of a log as columns for a state."""
    columns: dict[str, list[Any]] = {name: [event[name] for event in events] for name in (*SCHEMA, *HIDDEN)}
    return columns | {DELETED: [event.get(DELETED, False) for event in events]}


def _states(view: CompiledView, store: OnlineStore, number: int) -> list[OnlineView]:
    """Return the state of a view, after the states of the views that it uses."""
    before: dict[str, OnlineView] = {}
    used = []
    for lookup in view.chain.lookups if view.chain else ():
        states = [s for s in _states(lookup.view, store, number) if s.view.name not in before]
        before |= {state.view.name: state for state in states}
        used.append(before[lookup.view.name])
    return [*before.values(), OnlineView(view, store, f"{view.fingerprint}.{number}", used)]


def _batches(log: Sequence[Event], size: int) -> Iterator[Sequence[Event]]:
    return (log[start : start + size] for start in range(0, len(log), size))


def _together(log: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Group the events that arrived at one instant, in order. A lookup depends on the events before."""
    return (list(few) for _, few in groupby(sorted(log, key=_arrival), key=_arrival))


def _arrival(event: Event) -> int:
    at = event["at"] if event[ARRIVED] is None else event[ARRIVED]
    return 0 if at is None else int(at)


def _deletions(events: Sequence[Event]) -> list[Event]:
    """Return the changes that retracted events, as in a log."""
    gone = sorted((e for e in events if e[GONE] is not None), key=lambda event: event[GONE])
    return [{**e, ARRIVED: e[GONE], SEQ: 10**9 + n, DELETED: True} for n, e in enumerate(gone)]


def _arrow(rows: Sequence[Event], kinds: dict[str, str]) -> pa.Table:
    schema = ibis.schema(kinds).to_pyarrow()
    return pa.table([_column([row[f.name] for row in rows], f) for f in schema], schema=schema)


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_timestamp(field.type):
        return pa.array(values, type=pa.int64()).cast(field.type)
    return pa.array(values, type=field.type, from_pandas=False)


def _plain(value: Any) -> Any:
    return micros_of(value) if hasattr(value, "tzinfo") else value
