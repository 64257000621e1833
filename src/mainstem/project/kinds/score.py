"""Scores: a run scores the rows of a table by the champion of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mainstem.errors import DefinitionError, ModelError, UnknownName
from mainstem.graph.fingerprint import canonical, digest
from mainstem.graph.known import ALWAYS, Known
from mainstem.models.scoring import chosen
from mainstem.nodes.base import NodeRef
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.forecasts import FOR, HORIZON
from mainstem.nodes.hidden import visible
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.models import WIDE, Model, Task
from mainstem.nodes.outcomes import condition_of
from mainstem.nodes.scores import AT, FEATURES, LABEL, MADE_BY, SCORE, SCORES, VERSION, Score
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook, Reason
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.relations import unbound
from mainstem.project.kinds.scope import Scope
from mainstem.tables.memory import Memory

LATER = Known.never_said("a model may have learned from later rows")


class ScoreKind(NodeKind[Score]):
    node_type = Score
    is_data = False

    def references(self, node: Score, memory: Memory | None = None) -> Sequence[NodeRef]:
        return [node.of, node.model]

    def define(self, name: str, node: Score, inputs: tuple[str, ...], scope: Scope) -> Definition:
        of, model = (scope.done[scope.name_of(each, name)] for each in (node.of, node.model))
        ahead = _ahead(model, scope)
        schema = _schema(node, of, model, _task(model, scope), ahead)
        key = (*_key(node, of), *([HORIZON] if ahead else []))
        own = digest("score", of.name, model.name, canonical(list(key)), *ahead.values())
        fingerprint = digest(own, of.read_fingerprint)
        sources = tuple(sorted({each for column in of.columns.values() for each in column}))
        return Definition(
            name,
            replace(node, key=key),
            inputs,
            fingerprint,
            fingerprint,
            schema,
            read=unbound(name, schema),
            known={c: ALWAYS if of.known.get(c) == ALWAYS else LATER for c in schema},
            columns={c: of.columns.get(c, sources) if c in key else sources for c in schema},
            own=own,
        )

    def check(self, graph: Graph) -> None:
        """Refuse rows that lack what a request has, or the time that horizons count from."""
        from mainstem.features.forecasts import forecast_of
        from mainstem.features.retrieval import retrieval_of

        for name, node in graph.of(Score).items():
            model = graph.name_of(node.model)
            of, forecast = graph[graph.name_of(node.of)], forecast_of(graph, model)
            required = set(retrieval_of(graph, model).request)
            if forecast is not None:
                required = {forecast.time, *required} - forecast.fields.keys()
            have = visible(of.schema or {})
            for field in sorted(required - have.keys()):
                raise UnknownName.among("column", field, have, of=of.name, where=graph[name].where)

    def due(self, name: str, node: Score, outlook: Outlook) -> Iterable[Due]:
        return due("score", _reason(name, node, outlook), "data")


def _reason(name: str, node: Score, outlook: Outlook) -> Reason | None:
    model = outlook.graph.name_of(node.model)
    id, by = chosen(outlook.graph, outlook.release, model)
    trains = not by and any(step.kind == "train" and step.node == model for step in outlook.steps.values())
    if trains:
        return Reason(f"{model} gets a new version")
    held = outlook.release.tables.get(name)
    if id is None:  # what was scored stays; what reads scores can be built over no rows
        return None if held is not None else outlook.unmade(name, "never scored")
    made = None if held is None else held.properties.get(MADE_BY)
    if held is not None and made is not None and made != id:
        if not made:
            return Reason(f"{id} can score")
        return Reason(f"{id} is the champion now, not {made}" if by else f"{id} is newer than {made}")
    if reason := outlook.unmade(name, "never scored") or outlook.inputs(name, "score"):
        return reason
    from mainstem.features.retrieval import meaning

    features = None if held is None else held.properties.get(FEATURES)
    if features is not None and features != meaning(outlook.graph, model):
        return Reason(f"features of {model} are defined otherwise now")
    return None


def _task(model: Definition, scope: Scope) -> Task | None:
    """Return the task of a model; None if its target is of no task, which the model's own check refuses."""
    from mainstem.models.data.labels import infer
    from mainstem.nodes.expressions import resolve_column

    declared: Any = model.node
    if not isinstance(declared, Model) or declared.task is not None:
        return getattr(declared, "task", None)
    examples = scope.visible(scope.name_of(declared.examples, model.name))
    try:
        return infer(resolve_column(examples, condition_of(declared.target), model.where).type())
    except ModelError:
        return None


def _ahead(model: Definition, scope: Scope) -> dict[str, str]:
    """Return the columns of the horizon and of the time that is forecast, with their types; of a model without
    horizons, none."""
    if not isinstance(model.node, Model) or not model.node.horizons:
        return {}
    from mainstem.features.forecasts import forecast_in

    examples = scope.done[scope.name_of(model.node.examples, model.name)]
    return {HORIZON: "string", FOR: forecast_in(model.node, examples).type}


def _key(node: Score, of: Definition) -> tuple[str, ...]:
    found: tuple[str, ...] = node.key or getattr(of.node, "key", ())
    return found


def _schema(
    node: Score, of: Definition, model: Definition, task: Task | None, ahead: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the columns of the scores. Raises `DefinitionError` and `UnknownName`."""
    if not of.is_relation or of.schema is None:
        raise DefinitionError(f"{of.name!r} has no rows to score", got=type(of.node).__name__.lower())
    if not isinstance(model.node, Model):
        raise DefinitionError(f"{model.name!r} is not a model", got=type(model.node).__name__.lower())
    key = _key(node, of)
    if not key:
        raise DefinitionError(
            "scores require a key", got=f"{of.name!r} without key=", expected="the columns that identify a row"
        )
    have = visible(of.schema)
    label = {LABEL: "string"} if task == "multiclass" else {}
    several = {**label, SCORES: "string"} if task in WIDE else {}
    for column in key:
        if column not in have:
            raise UnknownName.among("column", column, have, of=of.name)
        if column in (AT, SCORE, VERSION, *several):
            raise DefinitionError(f"the key column {column!r} has the name of a column of scores", hint="rename it")
    for column in ahead.keys() & have.keys():
        raise DefinitionError(f"{of.name!r} has a column {column!r}, as forecasts do", hint="rename it")
    timed = model.node.prediction_time is not None
    own = {**({AT: INSTANT} if timed else {}), SCORE: "float64", **several, VERSION: "string"}
    return {**{c: have[c] for c in key}, **ahead, **own}
