"""Set, list and end the overrides of a branch's endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from getpass import getuser
from typing import Any

import ibis.expr.datatypes as dt

from mainstem.errors import NotFound, RequestError, UnknownName
from mainstem.nodes.decisions import Cheapest
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.overrides import FALLBACK, Override
from mainstem.nodes.records import now
from mainstem.project.branch import Branch


def override(
    branch: Branch,
    endpoint: str,
    decision: str,
    where: Mapping[str, str],
    *,
    why: str,
    who: str | None = None,
    until: datetime | None = None,
) -> Override:
    """Set an override. A running server follows it within a second.

    Raises `UnknownName` for an unknown endpoint, decision or field, and `RequestError` for what cannot be overridden.
    """
    node = branch.graph.of(Endpoint).get(endpoint)
    if node is None:
        raise UnknownName.among("endpoint", endpoint, branch.graph.of(Endpoint))
    _check_decision(endpoint, node, decision)
    fields = _fields(branch, endpoint)
    texts = {name: _text(endpoint, name, value, fields) for name, value in where.items()}
    if not why.strip():
        raise RequestError("an override needs a reason", got="an empty text", expected='--why "the card was stolen"')
    if until is not None and until <= now():
        raise RequestError("`until` is in the past", got=until.isoformat(), expected="a later instant")
    id = f"O{branch.adapters.state.reserve('override')}"
    found = Override(id, endpoint, branch.branch, decision, texts, who or _user(), why, until)
    branch.adapters.state.save(found)
    return found


def overrides(branch: Branch, *, ended: bool = False) -> list[Override]:
    """Return the overrides that are in force, oldest first; with `ended` all that ever were."""
    every, present = branch.adapters.state.find(Override, branch=branch.branch), now()
    return [each for each in every if ended or each.holds(present)]


def end_override(branch: Branch, id: str, *, who: str | None = None) -> Override:
    """End an override. Raises `NotFound` for an unknown one."""
    held = {each.id: each for each in overrides(branch)}
    if id not in held:
        known = ", ".join(held) or "no override is in force"
        raise NotFound(f"no override {id!r} is in force", got=id, expected=known, hint="mainstem override list --all")
    done = replace(held[id], ended_at=now(), ended_by=who or _user())
    branch.adapters.state.save(done)
    return done


def _check_decision(endpoint: str, node: Endpoint, decision: str) -> None:
    if isinstance(node.decide, Cheapest):
        if decision not in node.decide.options:
            raise UnknownName.among("option", decision, node.decide.options, of=repr(endpoint))
        return
    if node.fallback is None:
        raise RequestError(
            f"the decisions of {endpoint!r} cannot be overridden",
            got="an endpoint with neither options nor a fallback",
            expected="decide=ms.cheapest(…), or candidates=… with fallback=…",
        )
    if decision != FALLBACK:
        raise UnknownName.among("decision", decision, [FALLBACK], of=repr(endpoint))


def _fields(branch: Branch, endpoint: str) -> dict[str, str]:
    """Return the fields that a request may have, with Ibis types."""
    from mainstem.features.requests import sent
    from mainstem.serving.decisions.choices import choices_of
    from mainstem.streaming.predictions import example_key

    node: Any = branch.graph[endpoint].node
    model = branch.graph.name_of(node.model)
    request = sent(branch.graph, model, example_key(branch.graph, model))
    choices = choices_of(branch.graph, endpoint)
    offered = frozenset() if choices is None else choices.plan.fields
    return {name: kind for name, kind in {**request.key, **request.fields}.items() if name not in offered}


def _text(endpoint: str, name: str, value: str, fields: Mapping[str, str]) -> str:
    """Return the text of a value. Raises `UnknownName` or `RequestError`."""
    if name not in fields:
        raise UnknownName.among("field of a request", name, fields, of=repr(endpoint))
    kind = dt.dtype(fields[name])
    words = {"true", "false"} if kind.is_boolean() else None
    digits = value.removeprefix("-").isdigit() if kind.is_integer() else True
    if not (kind.is_string() or kind.is_integer() or kind.is_boolean()) or not digits or (words and value not in words):
        raise RequestError(
            f"the field {name!r} cannot be compared with {value!r}",
            got=f"a field of type {kind}",
            expected="a text, an integer, or true and false",
        )
    return str(int(value)) if kind.is_integer() else value


def _user() -> str:
    """Return who is at work on this machine. Raises `RequestError` if it does not say."""
    try:
        return getuser()
    except (ImportError, KeyError, OSError):
        raise RequestError("this machine does not say who you are", hint="--who NAME") from None
