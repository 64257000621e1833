"""Which rows of each source a branch works on, when it works on a sample.

One source is sampled by its key: a row is kept if the hash of its key falls into the fraction. A source that refers to
that key, by a declared foreign key or by columns of the same names, is sampled by the same hash. So each row that is
kept finds the rows that belong to it. All other sources are kept whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.errors import RequestError, UnknownName
from mainstem.nodes.checks import ForeignKey
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import visible
from mainstem.nodes.records import Release, Sample
from mainstem.nodes.sources import Source, Stream

SAMPLED = "mainstem.sample"
"""The snapshot property that says which rows of a source were kept. Absent if all were."""


def chosen(graph: Graph, release: Release, fraction: float, source: str | None) -> Sample | None:
    """Return the sample of this fraction of a source: the given one, or the largest one with a key.

    None for the fraction 1. Raises `RequestError` and `UnknownName`.
    """
    if not 0 < fraction <= 1:
        raise RequestError("the sample is not a fraction", got=f"{fraction:g}", expected="more than 0, and at most 1")
    if fraction == 1:
        return None
    keyed = {name: node for name, node in _collected(graph).items() if node.key}
    if source is not None and source not in keyed:
        raise UnknownName.among("source with a key", source, keyed)
    rows = {name: release.tables[name].rows if name in release.tables else 0 for name in keyed}
    largest = max(rows.values(), default=0)
    candidates = [name for name, count in rows.items() if count == largest]
    if source is None and len(candidates) != 1:
        hint = "name it: mainstem run --sample-by SOURCE"
        raise RequestError(
            "the source to sample is ambiguous", expected=f"one of {', '.join(sorted(keyed))}", hint=hint
        )
    return Sample(fraction, source or candidates[0])


def columns_of(graph: Graph, sample: Sample | None, name: str) -> tuple[str, ...]:
    """Return the columns whose hash decides which rows of a source are kept; empty if all are."""
    sources = _collected(graph)
    if sample is None or sample.source not in sources or name not in sources:
        return ()
    key, node = sources[sample.source].key, sources[name]
    for check in node.checks:
        if isinstance(check, ForeignKey) and graph.name_of(check.to) == sample.source:
            to = dict(zip(check.to_columns, check.columns, strict=True))
            if to.keys() == set(key):
                return tuple(to[column] for column in key)
    schema = visible(graph[name].schema or {})
    return key if all(column in schema for column in key) else ()


def told(graph: Graph, sample: Sample | None, name: str) -> str | None:
    """Return what a snapshot of a source says about its sample: None if it has all rows."""
    columns = columns_of(graph, sample, name)
    return f"{sample.fraction!r} of {sample.source} by {', '.join(columns)}" if sample and columns else None


def _collected(graph: Graph) -> Mapping[str, Source]:
    return {name: node for name, node in graph.of(Source).items() if not isinstance(node, Stream)}
