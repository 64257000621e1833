"""Declarations as texts that are equal for equal declarations. Fingerprints are computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from mainstem.graph.fingerprint import canonical, of_expression, of_function
from mainstem.nodes.base import Node
from mainstem.nodes.checks import Check
from mainstem.nodes.durations import microseconds
from mainstem.nodes.features import AllColumns, FeatureUse, FeatureView, OnDemand, ViewUse
from mainstem.nodes.findings import Rule
from mainstem.nodes.joins import Join
from mainstem.nodes.metrics import OwnMetric
from mainstem.nodes.models import USUAL_TEST, Model
from mainstem.nodes.outcomes import Outcome, condition_of
from mainstem.nodes.verbs import Verb

if TYPE_CHECKING:
    import ibis


def plain(node: Any, but: Sequence[str] = ()) -> str:
    """Return a declaration's content, without its name, description and line."""
    return canonical(settings(node, but))


def settings(node: Any, but: Sequence[str] = ()) -> dict[str, Any]:
    """Return a declaration's settings by name, as plain data."""
    skipped = {"name", "description", "owner", "origin", "function", "retries", *but}
    return {f.name: _value(getattr(node, f.name)) for f in fields(node) if f.name not in skipped}


def plain_join(join: Join) -> tuple[str, ...]:
    """Return a declared join's content: its sides, and what it demands."""
    demands = canonical([join.keys, join.shown, join.expect, join.coverage, join.severity, join.most_pairs])
    return (*map(of_expression, join.relations), demands)


def plain_rule(rule: Rule) -> str:
    """Return a remedy's content."""
    return canonical({"node": rule.node, **to_builtins(rule.verb), "where": rule.where, "guard": rule.guard})


def plain_verbs(verbs: Sequence[Verb]) -> list[str]:
    """Return verbs as texts, in order."""
    return [canonical(_value(verb)) for verb in verbs]


def plain_feature(feature: FeatureUse, names: Mapping[Node, str]) -> str:
    """Return a feature of a model as plain data."""
    match feature:
        case ViewUse():
            return f"{names.get(feature.view)} on {', '.join(feature.on)}"
        case FeatureView():
            return str(names.get(feature))
        case AllColumns():
            return "all columns"
        case OnDemand():
            return canonical({name: canonical(value) for name, value in feature.features.items()})
    return str(feature)


def plain_model(node: Model, but: Sequence[str]) -> str:
    """Return a model's settings. Those that came later are left out at their default, so that fingerprints last."""
    later: dict[str, Any] = {"window": node.window} if node.window is not None else {}
    later |= {"own_metric": of_function(node.own_metric.function)} if node.own_metric is not None else {}
    later |= {"also_measure": [_metric(each) for each in node.also_measure]} if node.also_measure else {}
    later |= {"threshold": str(node.threshold)} if node.threshold is not None else {}
    later |= {"slices": _value(node.slices)} if node.slices else {}
    later |= {"tune": node.tune} if node.tune is not None else {}
    later |= {"ensemble": node.ensemble} if not node.ensemble else {}
    later |= {"quantiles": list(node.quantiles)} if node.quantiles else {}
    later |= {"horizons": [microseconds(each) for each in node.horizons]} if node.horizons else {}
    later |= {"series": list(node.series)} if node.series else {}
    later |= {"sampling": _value(astuple(node.sampling))} if node.sampling else {}
    later |= {"calibrate": node.calibrate} if node.calibrate != "auto" else {}
    later |= {"prepare": {c: [type(s).__name__, *astuple(s)] for c, s in node.prepare.items()}} if node.prepare else {}
    later |= {"engineer": [[type(e).__name__, *astuple(e)] for e in node.engineer]} if node.engineer is not None else {}
    later |= {"select": node.select if node.select == "none" else astuple(node.select)} if node.select else {}
    untimed = node.prediction_time is None
    later |= {"monotone": _value(node.monotone)} if node.monotone else {}
    test = node.test if node.test is not None or untimed else USUAL_TEST
    return canonical({**settings(node, but), "candidates": _candidates(node), "test": test, **later})


def _metric(metric: str | OwnMetric) -> str:
    return metric if isinstance(metric, str) else of_function(metric.function)


def _candidates(node: Model) -> list[Any]:
    """Return a model's candidates. The usual ones stand for none that are declared: more are tried beside them then."""
    usual = ["linear", "lightgbm"]
    if node.candidates is None:
        return usual
    found: list[Any] = list(node.candidates)
    if not all(isinstance(each, str) for each in found):
        from mainstem.models.algorithms import plain

        found = [plain(each) for each in found]
    return [*found, "no others"] if found == usual else found


def resolved(node: Model, examples: ibis.Table) -> list[str]:
    """Return a model's prediction time and target as resolved expressions, independent of how they are written."""
    from mainstem.nodes.expressions import resolve_column

    target = node.target
    within = f"within {target.micros} " if isinstance(target, Outcome) else ""
    values = [
        ("", node.prediction_time),
        (within, condition_of(target)),
        ("groups ", node.groups),
        ("split ", node.split),
        ("weight ", node.weight),
        ("query ", node.query),
    ]
    return [name + of_expression(resolve_column(examples, value)) for name, value in values if value is not None]


def _value(value: Any) -> Any:
    if isinstance(value, Check):
        return {"check": type(value).__name__, **{f.name: _value(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, Verb):
        return {"verb": value.kind, **value.settings}
    if isinstance(value, Node):
        return value.name
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items()}
    return [_value(item) for item in value] if isinstance(value, (tuple, list)) else value
