"""Why a node's fingerprint changed: its own definition, or the definition or the reading of nodes upstream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from mainstem.nodes.definition import Graph
from mainstem.nodes.written import Input, Written, text_of

SHOWN = 3

Kept = Callable[[str, str], Written | None]
"""Returns the definition of a node that had a fingerprint; None if it was not kept."""


class Cause(NamedTuple):
    """A node whose definition changed, or that is read otherwise (a remedy, a history); or that nothing is known of."""

    node: str
    what: Literal["definition", "reading", "unknown"]


_Done = dict[tuple[str, Input], tuple[Cause, ...]]
"""The causes that were found at an input, as a node read it: many nodes may read it."""


def causes(graph: Graph, name: str, before: Written | None, kept: Kept) -> tuple[Cause, ...]:
    """Return the causes of a changed fingerprint, those upstream first. `before` is the definition that made it."""
    if before is None:
        return (Cause(name, "unknown"),)
    upstream = _upstream(graph, name, before, kept, {})
    definition = graph[name]
    if before.own == definition.own:
        return upstream or (Cause(name, "unknown"),)
    # The types of the inputs are part of the hash, so it changes with them though the text does not.
    if before.text == text_of(definition) and upstream:
        return upstream
    return (*upstream, Cause(name, "definition"))


def _upstream(graph: Graph, name: str, before: Written, kept: Kept, done: _Done) -> tuple[Cause, ...]:
    """Return the causes among the inputs of a node and above them, each once."""
    found: dict[Cause, None] = {}
    for each in graph[name].inputs:
        was = before.inputs.get(each)
        if was is None:
            continue
        if (each, was) not in done:
            done[each, was] = _of_input(graph, each, was, kept, done)
        found |= dict.fromkeys(done[each, was])
    return tuple(found)


def _of_input(graph: Graph, name: str, was: Input, kept: Kept, done: _Done) -> tuple[Cause, ...]:
    now, before = graph[name], kept(name, was.made_by)
    is_made_otherwise = before is not None and now.made_by != was.made_by
    above = _upstream(graph, name, before, kept, done) if before is not None and is_made_otherwise else ()
    if now.own != was.own and not (above and before is not None and before.text == text_of(now)):
        return (*above, Cause(name, "definition"))
    if now.read_fingerprint != was.read and not above and now.own == was.own:
        return (*above, Cause(name, "reading"))
    return above


def worded(name: str, found: Sequence[Cause]) -> str:
    """Return the causes of a changed node as the reason of its step."""
    own = [cause for cause in found if cause.node == name]
    if own:
        return (
            "its definition changed" if own[0].what == "definition" else "its definition, or that of an input, changed"
        )
    words = {"definition": "definition", "reading": "how it is read", "unknown": "unknown"}
    told = [f"{cause.node} changed ({words[cause.what]})" for cause in found[:SHOWN]]
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(told) + more
