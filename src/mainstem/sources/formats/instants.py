"""Texts of JSON files that are instants. The engine takes dates beside instants for texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainstem.graph.named import named
from mainstem.nodes.instants import INSTANT
from mainstem.ports import Engine, RawFiles

if TYPE_CHECKING:
    import ibis

FIRST = 100
"""The number of rows whose texts tell whether all texts are looked at."""


def instants(
    paths: Sequence[str], options: Mapping[str, Any], engine: Engine, types: Mapping[str, str]
) -> frozenset[str]:
    """Return the columns of texts that are all dates and instants, given the types that the engine reads."""
    import ibis

    texts = {name: "string" for name, type in types.items() if type == "string"}
    if not texts:
        return frozenset()
    own = {name: value for name, value in options.items() if name not in ("sample_size", "map_inference_threshold")}
    with engine.session({"files": RawFiles(tuple(paths), "json", texts, own)}) as session:
        table = ibis.table(texts, name="files")
        found = _fitting(session, table.limit(FIRST), list(texts))
        return frozenset(_fitting(session, table, found) if found else ())


def _fitting(session: Any, rows: ibis.Table, names: Sequence[str]) -> list[str]:
    """Return the columns with a text, all of whose texts are dates or instants."""
    from mainstem.sources.texts import narrow

    counts: dict[str, Any] = {}
    for number, name in enumerate(names):
        text = rows[name]
        counts |= {
            f"n{number}": text.count(),
            f"bad{number}": text.count(where=~narrow(text, INSTANT).fill_null(False)),
        }
    counted = session.fetch(rows.aggregate(named(counts))).to_pylist()[0]
    return [name for n, name in enumerate(names) if counted[f"n{n}"] and not counted[f"bad{n}"]]
