"""What a declaration says, as texts that are equal iff it says the same: what fingerprints are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from mainstem.graph.fingerprint import canonical, of_expression
from mainstem.nodes.base import Node
from mainstem.nodes.checks import Check
from mainstem.nodes.features import FeatureUse, FeatureView, OnDemand, ViewUse
from mainstem.nodes.findings import Rule
from mainstem.nodes.models import Model

if TYPE_CHECKING:
    import ibis


def plain(node: Any, but: Sequence[str] = ()) -> str:
    """What a declaration says, without how it is called, described or where it stands."""
    skipped = {"name", "description", "owner", "origin", "function", *but}
    return canonical({f.name: _value(getattr(node, f.name)) for f in fields(node) if f.name not in skipped})


def plain_rule(rule: Rule) -> str:
    """What a remedy does."""
    return canonical({"node": rule.node, **to_builtins(rule.verb), "where": rule.where, "guard": rule.guard})


def plain_feature(feature: FeatureUse, names: Mapping[Node, str]) -> str:
    """What a model uses."""
    match feature:
        case ViewUse():
            return f"{names.get(feature.view)} on {', '.join(feature.on)}"
        case FeatureView():
            return str(names.get(feature))
        case OnDemand():
            return canonical({name: repr(value) for name, value in feature.features.items()})
    return str(feature)


def resolved(node: Model, examples: ibis.Table) -> list[str]:
    """When a model predicts and what, over its examples: however that is written."""
    from mainstem.nodes.expressions import resolve_column

    values = [resolve_column(examples, value) for value in (node.prediction_time, node.target)]
    return [of_expression(value) for value in values]


def _value(value: Any) -> Any:
    if isinstance(value, Check):
        return {"check": type(value).__name__, **{f.name: _value(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, Node):
        return value.name
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items()}
    return [_value(item) for item in value] if isinstance(value, (tuple, list)) else value
