"""Select nodes by text, as in `mainstem run -s "legs+ airport"`.

legs        that node                   +legs       the node and all its inputs
legs+       the node and all its users  +legs+      both
air*        by pattern                  a b         any of several (a comma works too)
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from mainstem.errors import UnknownName
from mainstem.graph.dag import Dag


def select(dag: Dag, text: str | None) -> frozenset[str]:
    """Return the names that a selection text matches; all names for None. Raises `UnknownName`."""
    if text is None:
        return frozenset(dag.order)
    chosen: set[str] = set()
    for term in text.replace(",", " ").split():
        chosen |= _term(dag, term)
    return frozenset(chosen)


def _term(dag: Dag, term: str) -> set[str]:
    pattern = term.strip("+")
    named = {name for name in dag.order if fnmatchcase(name, pattern)}
    if not named:
        raise UnknownName.among("node", pattern, dag.order, where=f"the selection {term!r}")
    chosen = set(named)
    if term.startswith("+"):
        chosen |= dag.upstream(*named)
    if term.endswith("+"):
        chosen |= dag.downstream(*named)
    return chosen
