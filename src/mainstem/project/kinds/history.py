"""Histories while a project is loaded: the columns of versions, and when their values become known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mainstem.errors import DefinitionError
from mainstem.graph.known import Known
from mainstem.graph.traces import Trace
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.tables import VALID_FROM, VALID_TO, Table
from mainstem.nodes.verbs import Verb

_STAMPS = (VALID_FROM, VALID_TO)


def history_schema(node: Table, verbs: Sequence[Verb], schema: Mapping[str, str], place: str) -> dict[str, str]:
    """Return the stored columns of a table: those of its rows, and of a history those of its versions.

    Raises `DefinitionError` if the rows have such a column already, or a verb names one.
    """
    if not node.versions:
        return dict(schema)
    for column in _STAMPS:
        if column in schema or any(column in (*verb.columns, *verb.changed) for verb in verbs):
            raise DefinitionError(
                f"the column {column!r} of a history is made by Mainstem",
                where=place,
                got=f"{column!r} in the rows, or in a verb of `clean`",
                expected=f"rows without {VALID_FROM!r} and {VALID_TO!r}",
                hint=f"rename the column, as to 'own_{column}'",
            )
    return {**schema, **dict.fromkeys(_STAMPS, INSTANT)}


def history_traces(node: Table, traces: Mapping[str, Trace]) -> dict[str, Trace]:
    """Return the traces of the stored columns. The values of a version are known when it was seen: at `valid_from`,
    unless that is a time of the rows."""
    if not node.versions:
        return dict(traces)
    seen = Known.at(VALID_FROM)
    found = {
        name: Trace(trace.sources, trace.known.latest(seen) if node.row_time else seen)
        for name, trace in traces.items()
    }
    begins = found[node.row_time].known if node.row_time in found else seen
    ends = Known.never_said("a version that is current has no end yet")
    return {**found, VALID_FROM: Trace(frozenset(), begins), VALID_TO: Trace(frozenset(), ends)}
