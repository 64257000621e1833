"""Compare two snapshots of a table: by key, or as multisets of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

import ibis

from mainstem.graph.named import named
from mainstem.nodes.differences import Example, TableDifference
from mainstem.nodes.hidden import is_hidden
from mainstem.ports import Engine, Scan, Session

SHOWN = 3
"""Examples of each kind of difference."""
BEFORE, AFTER = "before", "after"


def compare(engine: Engine, table: str, before: Scan, after: Scan, key: Sequence[str]) -> TableDifference:
    """Return how the rows of `after` differ from those of `before`.

    Rows with the same `key` are the same row; nulls are equal to each other, and so are NaNs. Without a key, or if it
    is not unique, equal rows are counted.
    """
    old, new = ({f.name: f.type for f in scan.fields if not is_hidden(f.name)} for scan in (before, after))
    retyped = {name: (old[name], new[name]) for name in old if name in new and old[name] != new[name]}
    common = [name for name in new if name in old and name not in retyped]
    with engine.session({BEFORE: before, AFTER: after}) as session:
        rows = [ibis.table(each, name=name).select(common) for name, each in ((BEFORE, old), (AFTER, new))]
        note = _unusable(session, rows, key, common)
        by_key = key and not note
        found = _by_key(session, rows[0], rows[1], key) if by_key else _as_multisets(session, rows[0], rows[1])
    state: Any = "differs" if retyped or old.keys() != new.keys() or any(found[n] for n in _COUNTS) else "equal"
    return TableDifference(
        table,
        state,
        (before.rows, after.rows),
        () if note else tuple(key),
        new=tuple(name for name in new if name not in old),
        gone=tuple(name for name in old if name not in new),
        retyped=retyped,
        note=note,
        **found,
    )


_COUNTS = ("added", "removed", "changed")


def _unusable(session: Session, rows: Sequence[ibis.Table], key: Sequence[str], common: Sequence[str]) -> str:
    """Return why rows cannot be compared by the key; an empty text if they can."""
    missing = [column for column in key if column not in common]
    if missing:
        return f"the key column {missing[0]} is not the same in both"
    for name, each in zip((BEFORE, AFTER), rows, strict=True):
        if key and session.fetch(each.group_by(list(key)).having(ibis._.count() > 1).agg().limit(1)).num_rows:
            return f"the key {', '.join(key)} is not unique in {name}"
    return ""


# ── by key ────────────────────────────────────────────────────────────────────────────────────────────


def _by_key(session: Session, old: ibis.Table, new: ibis.Table, key: Sequence[str]) -> dict[str, Any]:
    values = [name for name in new.columns if name not in key]
    one, other = _numbered(old, "a"), _numbered(new, "b")
    place = {name: number for number, name in enumerate(new.columns)}
    same = [one[f"a{place[name]}"].identical_to(other[f"b{place[name]}"]) for name in key]
    pairs = one.outer_join(other, same)
    only_old, only_new = pairs["b"].isnull(), pairs["a"].isnull()
    differ = {
        name: ~only_old & ~only_new & ~pairs[f"a{place[name]}"].identical_to(pairs[f"b{place[name]}"])
        for name in values
    }
    changed = reduce(or_, differ.values(), only_new & only_old)  # never true, for a table of keys only
    asked = {"added": only_new.sum(), "removed": only_old.sum(), "changed": changed.sum()}
    asked |= {f"column {name}": mark.sum() for name, mark in differ.items()}
    (counted,) = session.fetch(pairs.aggregate(named(asked))).to_pylist()
    counts = {name: counted[name] or 0 for name in _COUNTS}
    columns = {name: counted[f"column {name}"] for name in values if counted[f"column {name}"]}
    found: dict[str, tuple[Example, ...]] = {}
    for what, chosen, side in (("added", only_new, "b"), ("removed", only_old, "a"), ("changed", changed, "b")):
        if counts[what]:
            shown = [f"{side}{place[name]}" for name in key]
            wanted = shown + [f"{s}{place[name]}" for name in columns for s in "ab"] * (what == "changed")
            some = session.fetch(pairs.filter(chosen).order_by(shown).limit(SHOWN).select(wanted))
            found[what] = tuple(_example(row, key, columns, place, side, what) for row in some.to_pylist())
    return {**counts, "columns": columns, "examples": found}


def _numbered(rows: ibis.Table, side: str) -> ibis.Table:
    """Return the rows with numbered columns, so that both sides of a join have other names, and a mark."""
    values = {f"{side}{number}": rows[name] for number, name in enumerate(rows.columns)}
    return rows.select(*named(values), *named({side: ibis.literal(True)}))


def _example(
    row: Mapping[str, Any],
    key: Sequence[str],
    columns: Mapping[str, int],
    place: Mapping[str, int],
    side: str,
    what: str,
) -> Example:
    pairs = {name: (row[f"a{place[name]}"], row[f"b{place[name]}"]) for name in columns} if what == "changed" else {}
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return Example({name: row[f"{side}{place[name]}"] for name in key}, differing)


# ── without a key ─────────────────────────────────────────────────────────────────────────────────────


def _as_multisets(session: Session, old: ibis.Table, new: ibis.Table) -> dict[str, Any]:
    columns = list(new.columns)
    if not columns:
        return {"added": 0, "removed": 0, "changed": 0}
    marked = [rows.mutate(_side=ibis.literal(value, "int64")) for rows, value in ((old.select(columns), -1), (new, 1))]
    surplus = ibis.union(*marked).group_by(columns).aggregate(_more=ibis._["_side"].sum())
    more, less = surplus["_more"] > 0, surplus["_more"] < 0
    asked = {"added": surplus["_more"].sum(where=more), "removed": -surplus["_more"].sum(where=less)}
    (counted,) = session.fetch(surplus.aggregate(named(asked))).to_pylist()
    found = {}
    for what, chosen in (("added", more), ("removed", less)):
        if counted[what]:
            some = session.fetch(surplus.filter(chosen).select(columns).order_by(columns).limit(SHOWN))
            found[what] = tuple(Example(row) for row in some.to_pylist())
    return {"added": counted["added"] or 0, "removed": counted["removed"] or 0, "changed": 0, "examples": found}
