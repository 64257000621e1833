"""Measure the joins that a table declares, over the snapshots of a run, before the table is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ibis

from mainstem.errors import CheckFailed
from mainstem.graph.lineage import leaves
from mainstem.graph.named import named
from mainstem.nodes.joins import Join
from mainstem.nodes.records import CheckResult
from mainstem.planning.execution import Context
from mainstem.ports import Session

SAMPLE = 5


def check_joins(context: Context, name: str, *, strict: bool = True) -> tuple[CheckResult, ...]:
    """Return the results of every join that the table `name` declares.

    Raises `CheckFailed` if a join by similarity would compare more pairs than it allows and, if `strict`, if a join of
    severity error is not as declared.
    """
    results: list[CheckResult] = []
    for join in context.graph[name].joins:
        with context.session(frozenset().union(*map(leaves, join.relations))) as session:
            _bound(session, name, join)
            found = measure(session, join)
        if strict:
            _refuse(name, join, found)
        results += found
    return tuple(results)


def measure(session: Session, join: Join) -> list[CheckResult]:
    """Return whether a join is as declared, and last the share of left rows that have a match."""
    return [*_cardinality(session, join), _coverage(session, join)]


def _cardinality(session: Session, join: Join) -> Iterator[CheckResult]:
    """Yield whether each side that may have only one row for a key has no more."""
    if join.expect in ("one_to_one", "one_to_many"):
        yield _unique(session, join, join.left, 0)
    if join.expect in ("one_to_one", "many_to_one"):
        yield _unique(session, join, join.right, 1)


def _unique(session: Session, join: Join, table: ibis.Table, side: int) -> CheckResult:
    """Return how many rows of a side share their key with another row of it."""
    keys = _keys(table, join.keys, side).drop_null()
    of_keys = keys.group_by(list(keys.columns)).aggregate(_rows=keys.count())
    shared = (of_keys["_rows"] > 1).ifelse(of_keys["_rows"], 0)
    rows, violations = _numbers(session, of_keys.aggregate(rows=of_keys["_rows"].sum(), shared=shared.sum()))
    sample = _most(session, keys, [pair[side] for pair in join.shown], above=1) if violations else ()
    label = f"{join.label}: {join.expect}, one row of {join.names[side]} per key"
    return CheckResult(label, join.severity, violations, rows, sample)


def _coverage(session: Session, join: Join) -> CheckResult:
    """Return the share of left rows that have a match."""
    keys, known = _keys(join.left, join.keys, 0), _keys(join.right, join.keys, 1).drop_null()
    matched = keys.semi_join(known, list(keys.columns))
    (rows,), (matches,) = (_numbers(session, each.aggregate(n=each.count())) for each in (keys, matched))
    share, least = matches / rows if rows else None, join.coverage
    short = least is not None and share is not None and share < least
    label = join.label if least is None else f"{join.label}: coverage {least:g}"
    sample = _lost(session, join, known) if matches < rows else ()
    return CheckResult(label, join.severity, rows - matches if short else 0, rows, sample, share)


def _lost(session: Session, join: Join, known: ibis.Table) -> tuple[Mapping[str, Any], ...]:
    """Return the keys of the most left rows without a match."""
    pairs = [(mine, key) for (mine, _), key in zip(join.keys, known.columns, strict=True)]
    return _most(session, _keys(join.left.anti_join(known, pairs), join.shown, 0), [mine for mine, _ in join.shown])


def _refuse(name: str, join: Join, results: Sequence[CheckResult]) -> None:
    failed = [result for result in results if result.severity == "error" and not result.passed]
    if not failed:
        return
    first, also = failed[0], "".join(f"; and {other.violations:,} rows have no match" for other in failed[1:])
    of_keys = first.share is None
    problem = "share a key, so the join repeats rows" if of_keys else f"have no match ({first.share:.2%} have one)"
    raise CheckFailed(
        f"{name}: {first.violations:,} of {first.rows:,} rows {problem}{also}",
        where=join.where,
        got="; ".join(", ".join(f"{key}={value!s}" for key, value in row.items()) for row in first.sample[:3]),
        expected=first.label,
        hint="make the keys unique before the join, or declare another `expect`"
        if of_keys
        else "correct the keys, or lower the coverage",
    )


def _bound(session: Session, name: str, join: Join) -> None:
    (pairs,) = (0,) if join.compared is None else _numbers(session, join.compared)
    if pairs > join.most_pairs:
        raise CheckFailed(
            f"{name}: a join by similarity would compare {pairs:,} pairs of texts",
            where=join.where,
            got=join.label,
            expected=f"at most {join.most_pairs:,}",
            hint='block="column" compares only texts for which the column agrees; or raise most_pairs',
        )


def _keys(table: ibis.Table, keys: Sequence[tuple[str, str]], side: int) -> ibis.Table:
    return table.select(*named({f"_key{number}": table[pair[side]] for number, pair in enumerate(keys)}))


def _most(session: Session, keys: ibis.Table, names: Sequence[str], above: int = 0) -> tuple[Mapping[str, Any], ...]:
    """Return the keys with the most rows, under the given names."""
    counted = keys.group_by(list(keys.columns)).aggregate(_rows=keys.count())
    most = counted.filter(counted["_rows"] > above)
    ordered = most.order_by([most["_rows"].desc(), *(most[column] for column in keys.columns)]).limit(SAMPLE)
    return tuple(
        {**dict(zip(names, row, strict=True)), "rows": rows}
        for *row, rows in (each.values() for each in session.fetch(ordered).to_pylist())
    )


def _numbers(session: Session, row: ibis.Table) -> tuple[int, ...]:
    return tuple(int(value or 0) for value in session.fetch(row).to_pylist()[0].values())
