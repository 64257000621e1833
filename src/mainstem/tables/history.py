"""Compare rows with the current versions of a history: which versions open, and which close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import ibis

from mainstem.graph.named import named
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import now
from mainstem.nodes.tables import VALID_FROM, VALID_TO
from mainstem.planning.execution import Context
from mainstem.ports import DataFile, Field, Scan, Session, Snapshot, Target

STAMPS = (VALID_FROM, VALID_TO)

_NEW, _STORED, _ASIDE, _ENDS, _TOUCHED = "new", "stored", "aside", "ends", "touched"
_MICROSECOND = timedelta(microseconds=1)


class Aside(NamedTuple):
    """Rows that were set aside. With `all_keys` any key may be among them."""

    files: tuple[DataFile, ...]
    fields: tuple[Field, ...]
    all_keys: bool


class Compared(NamedTuple):
    """The new versions, the number of versions that close, and the files of the base: see `intervals.Rest`."""

    opened: tuple[DataFile, ...]
    closed: int
    stay: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[DataFile, ...] = ()


def compared(
    context: Context, base: Snapshot | None, target: Target, new: Sequence[DataFile], node: Any, aside: Aside
) -> Compared:
    """Return how the rows of the files `new` change the history in `base`.

    The files of the base with a version that closes are written again, or all of them if the schema changed. The
    current version of a key whose row was set aside stays.
    """
    types, key = _types(target.fields), list(node.version_key)
    plain = tuple(field for field in target.fields if field.name not in STAMPS)
    fields = target.fields if base is None else base.fields
    files = () if base is None else context.scan(base).files
    relations = {_NEW: Scan(_paths(new), plain, 0), _STORED: Scan(files, fields, 0)}
    relations |= {_name(number): Scan((path,), fields, 0) for number, path in enumerate(files)}
    relations[_ASIDE] = Scan(_paths(aside.files), aside.fields, 0)
    with context.engine.session(relations) as session:
        rows = ibis.table(_types(plain), name=_NEW)
        stored = _as(ibis.table(_types(fields), name=_STORED), types)
        at = _instant(session, stored)
        current = stored.filter(stored[VALID_TO].isnull())
        coming = _stamped(_unlike(rows, current, rows.columns), stored, key, node.row_time, at)
        ending = _unlike(current, rows, rows.columns).select(*key)
        ends = session.fetch(_ends(ending, coming, key, at, aside, types))
        sort = list(node.sort)
        opened = session.write(coming.order_by(sort) if sort else coming, target)
        session.add(_ENDS, ends)
        theirs = ibis.table({**{name: types[name] for name in key}, "_to": INSTANT}, name=_ENDS)
        touched = files if fields != target.fields else _touched(session, files, types, theirs, key)
        kept: tuple[DataFile, ...] = ()
        if touched:
            session.add(_TOUCHED, Scan(tuple(touched), fields, 0))
            closed = _closed(_as(ibis.table(_types(fields), name=_TOUCHED), types), theirs, key)
            kept = session.write(closed.order_by(sort) if sort else closed, target)
    return Compared(opened, ends.num_rows, tuple(p for p in files if p not in set(touched)), tuple(touched), kept)


def _instant(session: Session, stored: ibis.Table) -> datetime:
    """Return the run's instant: now, and later than every instant of the history, whatever the clock did."""
    newest = session.fetch(stored.aggregate(newest=_last(stored).max()))["newest"][0].as_py()
    return now() if newest is None else max(now(), newest + _MICROSECOND)


def _last(stored: ibis.Table) -> ibis.Value:
    return ibis.coalesce(stored[VALID_TO], stored[VALID_FROM])


def _unlike(rows: ibis.Table, others: ibis.Table, columns: Sequence[str]) -> ibis.Table:
    """Return the rows that equal none of the others in all columns. Null equals null."""
    theirs = _named("_other_", others, columns)
    return rows.anti_join(theirs, [rows[name].identical_to(theirs[f"_other_{name}"]) for name in columns])


def _stamped(rows: ibis.Table, stored: ibis.Table, key: Sequence[str], time: str | None, at: datetime) -> ibis.Table:
    """Return new versions. One begins at the row's own time if that is later than its key's history and not ahead of
    the run, otherwise at the run's instant."""
    moment = ibis.literal(at, type=INSTANT)
    until = ibis.null(INSTANT)
    if time is None:
        return rows.mutate(**{VALID_FROM: moment, VALID_TO: until})
    last = stored.group_by(key).aggregate(_last=_last(stored).max())
    theirs = _named("_had_", last, key, "_last")
    joined = rows.left_join(theirs, [rows[name] == theirs[f"_had_{name}"] for name in key])
    own = joined[time].cast(INSTANT)  # a date is the start of its day
    fits = own.notnull() & (own <= moment) & (joined["_last"].isnull() | (own > joined["_last"]))
    since = ibis.ifelse(fits, own, moment)
    return joined.select(*rows.columns, **{VALID_FROM: since, VALID_TO: until})


def _ends(
    ending: ibis.Table, coming: ibis.Table, key: Sequence[str], at: datetime, aside: Aside, types: Mapping[str, str]
) -> ibis.Table:
    """Return the keys whose current version closes, and when."""
    theirs = coming.select(*named({f"_new_{name}": coming[name] for name in key}), _to=coming[VALID_FROM])
    same = [ending[name] == theirs[f"_new_{name}"] for name in key]
    changed = ending.inner_join(theirs, same).select(*key, "_to")
    if aside.all_keys:
        return changed
    gone = ending.anti_join(theirs, same)
    if aside.files:
        doubted = ibis.table(_types(aside.fields), name=_ASIDE)
        doubted = doubted.select(*named({f"_aside_{name}": doubted[name].cast(types[name]) for name in key}))
        gone = gone.anti_join(doubted, [gone[name] == doubted[f"_aside_{name}"] for name in key])
    return changed.union(gone.mutate(_to=ibis.literal(at, type=INSTANT)))


def _touched(
    session: Session, files: Sequence[str], types: Mapping[str, str], ends: ibis.Table, key: Sequence[str]
) -> tuple[str, ...]:
    """Return the files with a version that closes."""
    found = []
    for number, path in enumerate(files):
        rows = ibis.table(dict(types), name=_name(number))
        closing = rows.filter(rows[VALID_TO].isnull()).semi_join(ends, list(key))
        if session.fetch(closing.limit(1).select(*key)).num_rows:
            found.append(path)
    return tuple(found)


def _closed(rows: ibis.Table, ends: ibis.Table, key: Sequence[str]) -> ibis.Table:
    theirs = _named("_end_", ends, key, "_to")
    joined = rows.left_join(theirs, [rows[name] == theirs[f"_end_{name}"] for name in key])
    until = ibis.coalesce(joined[VALID_TO], joined["_to"])
    return joined.select(*(until.name(VALID_TO) if name == VALID_TO else joined[name] for name in rows.columns))


def _as(rows: ibis.Table, types: Mapping[str, str]) -> ibis.Table:
    """Return stored rows in the present schema. A column that was added is null."""
    return rows.select(
        *named(
            {name: rows[name].cast(type) if name in rows.columns else ibis.null(type) for name, type in types.items()}
        )
    )


def _named(prefix: str, rows: ibis.Table, columns: Sequence[str], *others: str) -> ibis.Table:
    return rows.select(
        *named({f"{prefix}{name}": rows[name] for name in columns}), *named({name: rows[name] for name in others})
    )


def _types(fields: Sequence[Field]) -> dict[str, str]:
    return {field.name: field.type for field in fields}


def _paths(files: Sequence[DataFile]) -> tuple[str, ...]:
    return tuple(file.path for file in files)


def _name(number: int) -> str:
    return f"file {number}"
