"""Describe a published relation: read its rows, or a sample of them, and say what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ibis
import ibis.expr.operations as ops

from mainstem.errors import UnknownName
from mainstem.graph.lineage import leaves
from mainstem.nodes.descriptions import Description
from mainstem.nodes.hidden import SEQ, visible_names
from mainstem.planning.execution import Context
from mainstem.project.branch import Branch
from mainstem.statistics.correlations import correlations
from mainstem.statistics.describe import column, row_duplicates
from mainstem.statistics.exact import Counts, count_files
from mainstem.statistics.sampling import SEED

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.ports import Session

LIMIT = 200_000
"""The rows up to which all are read. Of more, about so many are drawn with a fixed seed."""


def describe(branch: Branch, name: str) -> Description:
    """Return the description of a source, a table, or another stored relation. Raises `UnknownName`."""
    context = branch.reading("describe")
    relation = relation_of(context, name)
    stored = sorted(leaves(relation))
    key = tuple(getattr(context.graph[name].node, "key", ())) if name in context.graph else ()
    with context.session(stored) as session:
        total = session.fetch(relation.aggregate(rows=relation.count()))["rows"][0].as_py()
        rows = _read(session, relation, total)
        repeated = _repeated(session, relation, key)
    whole = rows.num_rows == total
    counts = _counts(context, name) if not whole and _is_stored(context, name) else None
    types = {c: str(t) for c, t in relation.schema().items()}
    return Description(
        name=name,
        rows=total,
        looked_at=rows.num_rows,
        exact=whole or counts is not None,
        key=key,
        key_duplicates=repeated,
        row_duplicates=row_duplicates(rows),
        columns=[column(c, types[c], rows[c], (counts or {}).get(c)) for c in rows.column_names],
        correlations=correlations(rows),
    )


def relation_of(context: Context, name: str) -> ibis.Table:
    """Return the relation as readers see it. Hidden columns are shown only of relations that are not nodes."""
    if name in context.graph and context.graph[name].read is not None:
        read = context.graph[name].read
        assert read is not None
        return read.select(visible_names(read.columns))
    if name in context.release.tables:
        fields = context.snapshot(name).fields
        table = ibis.table({field.name: field.type for field in fields}, name=name)
        return table.drop(SEQ) if SEQ in table.columns else table
    known = {*context.release.tables, *(d.name for d in context.graph if d.read is not None)}
    raise UnknownName.among("relation", name, known)


def _is_stored(context: Context, name: str) -> bool:
    """Return whether readers see the rows as they are stored, without remedies, history or changes."""
    if name not in context.release.tables:
        return False
    read = context.graph[name].read if name in context.graph else None
    return read is None or isinstance(read.op(), ops.UnboundTable)


def _counts(context: Context, name: str) -> dict[str, Counts]:
    snapshot = context.snapshot(name)
    return count_files(context.lake.scan(snapshot).files, snapshot.fields)


def _read(session: Session, relation: ibis.Table, total: int) -> pa.Table:
    if total <= LIMIT:
        return session.fetch(relation)
    return session.fetch(relation.sample(LIMIT / total, method="row", seed=SEED))


def _repeated(session: Session, relation: ibis.Table, key: Sequence[str]) -> int | None:
    """Return the rows beyond the first with the same whole key."""
    if not key:
        return None
    whole = relation.drop_null(list(key))
    counted = whole.group_by(list(key)).aggregate(_rows=whole.count())
    found = session.fetch(counted.aggregate(n=(counted["_rows"] - 1).sum()))["n"][0].as_py()
    return int(found or 0)
