"""Merge new rows into a stored table by its key: a row replaces the one with the same key, and other rows stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import ibis

from mainstem.planning.execution import Context
from mainstem.ports import DataFile, Scan, Session, Snapshot, Target

_NEW, _STORED = "new", "stored"


class Merged(NamedTuple):
    """The new rows that change the table, and the files of the base: see `intervals.Rest`."""

    new: tuple[DataFile, ...]
    stay: tuple[str, ...]
    gone: tuple[str, ...]
    kept: tuple[DataFile, ...]


def newest(rows: ibis.Table, key: Sequence[str], column: str | None) -> ibis.Table:
    """Return the rows with the latest value of a column for each key. Unlike rows with one value all stay, so that the
    check of the key finds them; without a column all rows do."""
    if column is None:
        return rows
    latest = rows[column].max().over(group_by=list(key))
    return rows.filter((rows[column] == latest) | rows[column].isnull()).distinct()


def merged(
    context: Context, base: Snapshot, target: Target, new: Sequence[DataFile], key: Sequence[str], column: str | None
) -> Merged:
    """Return how the rows of the files `new` change those of `base`.

    New rows that equal the stored one, or are earlier by `column`, change nothing. The files of the base that have one
    of the other keys are written again.
    """
    files = context.scan(base).files
    if not new:
        return Merged((), files, (), ())
    relations = {_NEW: Scan(tuple(file.path for file in new), target.fields, 0), _STORED: Scan(files, target.fields, 0)}
    relations |= {_name(number): Scan((path,), target.fields, 0) for number, path in enumerate(files)}
    types = {field.name: field.type for field in target.fields}
    with context.engine.session(relations) as session:
        rows, stored = (ibis.table(types, name=name) for name in (_NEW, _STORED))
        changing = _changing(newest(rows, key, column), stored, key, column)
        if session.fetch(changing.aggregate(n=changing.count()))["n"][0].as_py() == sum(file.rows for file in new):
            good, changing = tuple(new), rows
        else:
            good = session.write(changing, target)
        if not good:
            return Merged((), files, (), ())
        keys = session.fetch(changing.select(*key).distinct())
        session.add("keys", keys)
        theirs = ibis.table({name: types[name] for name in key}, name="keys")
        touched = _touched(session, files, types, theirs, key)
        kept: tuple[DataFile, ...] = ()
        if touched:
            session.add("touched", Scan(tuple(touched), target.fields, 0))
            others = ibis.table(types, name="touched")
            kept = session.write(others.anti_join(theirs, list(key)), target)
    return Merged(good, tuple(path for path in files if path not in set(touched)), tuple(touched), kept)


def _changing(rows: ibis.Table, stored: ibis.Table, key: Sequence[str], column: str | None) -> ibis.Table:
    """Return the new rows that differ from the stored ones and are not earlier."""
    keys = rows.select(**{f"_key_{name}": rows[name] for name in key})
    again = stored.semi_join(keys, [stored[name] == keys[f"_key_{name}"] for name in key])
    ours = again.select(**{f"_was_{name}": again[name] for name in rows.columns})
    found = rows.anti_join(ours, [rows[name].identical_to(ours[f"_was_{name}"]) for name in rows.columns])
    if column is not None:
        later = ours.view()
        same = [found[name] == later[f"_was_{name}"] for name in key]
        found = found.anti_join(later, [*same, found[column] < later[f"_was_{column}"]])
    return found


def _touched(
    session: Session, files: Sequence[str], types: dict[str, str], keys: ibis.Table, key: Sequence[str]
) -> list[str]:
    """Return the files that have one of the keys."""
    found = []
    for number, path in enumerate(files):
        rows = ibis.table(types, name=_name(number))
        if session.fetch(rows.semi_join(keys, list(key)).limit(1).select(*key)).num_rows:
            found.append(path)
    return found


def _name(number: int) -> str:
    return f"file {number}"
