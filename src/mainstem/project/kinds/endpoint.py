"""Endpoints: a run drains their predictions, promotes a challenger if they declare it, and judges them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.features.retrieval import plain
from mainstem.graph.fingerprint import digest
from mainstem.logs.outcomes import outcomes_of, outcomes_table
from mainstem.logs.records import predictions_of
from mainstem.logs.shadows import shadows_of, shadows_table
from mainstem.models.metrics import alone, metric, own
from mainstem.nodes.base import NodeRef
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.endpoints import Calibration, Endpoint, Performance, Value
from mainstem.nodes.hidden import visible
from mainstem.nodes.models import CLASSES, Model, Task
from mainstem.nodes.offers import Offer
from mainstem.nodes.sources import Stream
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook, Reason
from mainstem.project.kinds.base import Log, NodeKind
from mainstem.project.kinds.scope import Scope
from mainstem.tables.memory import Memory


class EndpointKind(NodeKind[Endpoint]):
    node_type = Endpoint
    is_data = False

    def references(self, node: Endpoint, memory: Memory | None = None) -> Sequence[NodeRef]:
        offers = [offer for offer in (node.candidates, node.fallback) if isinstance(offer, Offer)]
        return [node.model, *(each for offer in offers for each in offer.read), *([] if node.on is None else [node.on])]

    def define(self, name: str, node: Endpoint, inputs: tuple[str, ...], scope: Scope) -> Definition:
        own = digest(type(node).__name__, *(scope.done[each].fingerprint for each in inputs))
        return Definition(name, node, inputs, own, own)

    def check(self, graph: Graph) -> None:
        """Refuse what a request could not say: a key or a field whose type JSON has no form for."""
        from mainstem.features.requests import sent
        from mainstem.serving.decisions.choices import choices_of
        from mainstem.serving.decisions.policy import check_latency, policy_of
        from mainstem.streaming.predictions import example_key
        from mainstem.streaming.rows import converter

        for name, node in graph.of(Endpoint).items():
            model = graph.name_of(node.model)
            _check_task(graph, name, node, model)
            _check_forecast(graph, name, node)
            _check_outcomes(graph, name, node)
            _check_values(graph, name, node)
            _check_challengers(graph, name, node)
            if (policy := policy_of(graph, name)) is not None:
                check_latency(policy, node.latency)
            if (choices := choices_of(graph, name)) is not None:
                check_latency(choices.ranking, node.latency)
            request = sent(graph, model, example_key(graph, model))
            fields = {f: type for f, type in {**request.key, **request.fields}.items() if f not in request.spent}
            _check_canary(graph, name, node, fields)
            _check_events(graph, name, node, request.fields)
            for column, type in {**request.key, **request.fields}.items():
                try:
                    converter(type)
                except SchemaError as problem:
                    problem.what = f"requests to {name!r} cannot send the field {column!r}"
                    problem.hint = f'.cast("string") in the table of examples gives {column!r} another type'
                    raise problem.at(graph[name].where) from None

    def due(self, name: str, node: Endpoint, outlook: Outlook) -> Iterator[Due]:
        yield from due("drain", outlook.pending(name), "data")
        yield from due("promote", _promotable(name, node, outlook), "none")
        judged = _judge(name, outlook)
        yield from due("monitor", judged, "none")
        yield from due("attribute", judged, "none")

    def log(self, name: str) -> Log:
        beside = (Log(outcomes_of(name), outcomes_table(name)), Log(shadows_of(name), shadows_table(name)))
        return Log(predictions_of(name), f"predictions.{name}", beside)


def _check_values(graph: Graph, name: str, node: Endpoint) -> None:
    """Refuse monitors of the value of decisions that have none."""
    rules = [rule for rule in node.monitors if isinstance(rule, Value)]
    if len(rules) > 1:
        what = "an endpoint values its decisions in one way"
        raise DefinitionError(what, where=graph[name].where, got="several ms.value(…)", expected="one")
    for rule in rules:
        from mainstem.monitoring.worth import check_value

        check_value(graph, name, rule)


def _check_challengers(graph: Graph, name: str, node: Endpoint) -> None:
    """Refuse a shadow whose model requests of the endpoint do not fit: it has other examples, fields or targets."""
    from mainstem.features.retrieval import retrieval_of
    from mainstem.models.training.blueprint import task_at_load

    model = graph.name_of(node.model)
    others = [graph.name_of(each.model) for each in node.shadow]
    if len(set(others)) < len(others):
        what = "a model has one challenger"
        raise DefinitionError(what, where=graph[name].where, got=", ".join(others), expected="a shadow of each model")
    for other in others:
        if other not in graph.definitions:  # it is broken, and says so itself
            continue
        ours, theirs = retrieval_of(graph, model), retrieval_of(graph, other)
        lacking = [field for field, type in theirs.request.items() if ours.request.get(field) != type]
        tasks = task_at_load(graph, model), task_at_load(graph, other)
        got = (
            f"examples {theirs.examples}, not {ours.examples}"
            if theirs.examples != ours.examples
            else f"it needs {', '.join(lacking)}, which requests to {name!r} do not have"
            if lacking
            else f"the task {tasks[1]}, not {tasks[0]}"
            if tasks[0] != tasks[1]
            else None
        )
        if got is not None:
            raise DefinitionError(
                f"the challenger of {other!r} cannot score requests to {name!r}",
                where=graph[name].where,
                got=got,
                expected=f"a model with the examples, the task and the request fields of {model!r}",
                hint="give it an endpoint of its own",
            )


def _check_canary(graph: Graph, name: str, node: Endpoint, fields: Mapping[str, str]) -> None:
    """Refuse a canary by a field that requests do not send. Raises `UnknownName`."""
    by = node.canary.by if node.canary else None
    if by is not None and by not in fields:
        raise UnknownName.among("request field", by, fields, of=f"ms.canary(by={by!r})", where=graph[name].where)


def _check_events(graph: Graph, name: str, node: Endpoint, fields: Mapping[str, str]) -> None:
    """Refuse an endpoint that is asked by events which lack what its model is asked with, or that come another way."""
    if node.on is None:
        return
    stream, where = graph.name_of(node.on), graph[name].where
    source = graph[stream].node
    unfit = (
        "not a stream"
        if not isinstance(source, Stream)
        else "a stream of changes"
        if source.changes
        else "a stream that a topic feeds"
        if source.from_ is not None
        else "a stream without a key"
        if not source.key
        else "a forecast"
        if node.model.horizons
        else None
    )
    if unfit is not None:
        what, expected = f"{name!r} cannot be asked by events of {stream!r}", "a stream of events with a key"
        raise DefinitionError(what, where=where, got=unfit, expected=expected)
    schema = {column: plain(kind) for column, kind in visible(graph[stream].schema or {}).items()}
    for field, kind in fields.items():
        if field not in schema:
            raise UnknownName.among("column", field, schema, of=f"{stream!r}, which {name!r} is asked by", where=where)
        if schema[field] != kind:
            what = f"the column {field!r} of {stream!r} has another type than the request field"
            raise SchemaError(what, where=where, got=schema[field], expected=kind)


def _check_outcomes(graph: Graph, name: str, node: Endpoint) -> None:
    """Refuse a column of ids that the examples do not have, or that is not a text."""
    if node.outcomes_by is None:
        return
    examples = graph.name_of(node.model.examples)
    schema = visible(graph[examples].schema or {})
    if node.outcomes_by not in schema:
        raise UnknownName.among("column", node.outcomes_by, schema, of=repr(examples), where=graph[name].where)
    if not schema[node.outcomes_by].lstrip("!").startswith("string"):
        raise SchemaError(
            "`outcomes_by` must be a column with ids of predictions",
            where=graph[name].where,
            got=f"{node.outcomes_by!r} of type {schema[node.outcomes_by]}",
            expected="a column of texts",
        )


def _check_forecast(graph: Graph, name: str, node: Endpoint) -> None:
    """Refuse what a request for several horizons does not have. Raises `DefinitionError`."""
    ahead = next((each.model for each in node.shadow if each.model.horizons), None)
    if ahead is not None and not node.model.horizons:
        raise DefinitionError(
            "a forecast cannot be the shadow of a model that answers once",
            where=graph[name].where,
            got=f"{graph.name_of(ahead)!r} answers {', '.join(ahead.horizons)} at once",
            expected="a model without `horizons`",
        )
    if not node.model.horizons:
        return
    has = {
        "shadow": bool(node.shadow),
        "canary": node.canary is not None,
        "decide": node.decide is not None,
        "outcomes_by": node.outcomes_by is not None,
        "latency=ms.latency(…)": node.otherwise is not None,
        "ms.value(…)": any(isinstance(rule, Value) for rule in node.monitors),
    }
    for each in (name for name, given in has.items() if given):
        raise DefinitionError(
            f"the endpoint of a forecast has no `{each}`",
            where=graph[name].where,
            got=f"{graph.name_of(node.model)!r} answers {', '.join(node.model.horizons)} at once",
            hint="decide by the answer, in the client; outcomes are those of later rows",
        )


def _check_task(graph: Graph, name: str, node: Endpoint, model: str) -> None:
    """Refuse a threshold that no score reaches, and a metric of another task. Raises `DefinitionError`."""
    from mainstem.models.training.blueprint import task_at_load

    task = task_at_load(graph, model)
    if node.threshold is not None and task in CLASSES and not 0 < node.threshold < 1:
        raise DefinitionError(
            "`threshold` must be a probability",
            where=graph[name].where,
            got=f"{node.threshold:g}, and {model!r} is {task}",
            expected="a number above 0 and below 1",
        )
    if any(isinstance(rule, Calibration) for rule in node.monitors):
        from mainstem.monitoring.calibration import check_calibration

        check_calibration(task, graph[name].where)
    try:
        _check_metrics(graph, node, task)
    except DefinitionError as problem:
        raise problem.at(graph[name].where) from None


def _check_metrics(graph: Graph, node: Endpoint, task: Task) -> None:
    """Refuse metrics of another task and unknown ones. A name may be that of a metric of one's own, of any model."""
    known = {each.name: each for model in graph.of(Model).values() for each in model.own_metrics}
    for rule in node.monitors:
        if not isinstance(rule, Performance) or rule.metric is None:
            continue
        if rule.own_metric is not None:
            alone(rule.own_metric, known)
        if (found := known.get(rule.metric)) is not None:
            own(found, task, node.model.quantiles)
        metric(rule.metric, task)


def _promotable(name: str, node: Endpoint, outlook: Outlook) -> Reason | None:
    if node.promote != "gate":
        return None
    model, release = outlook.graph.name_of(node.model), outlook.release
    challenged = f"train {model}" in outlook.steps or release.models.get(model) != release.champion(name)
    return Reason(f"{model} has a challenger, and the endpoint promotes by its gate") if challenged else None


def _judge(name: str, outlook: Outlook) -> Reason | None:
    if outlook.situation.pending.get(name, 0) > 0 and name in outlook.release.endpoints:
        return Reason("new predictions or outcomes")
    if f"predictions.{name}" not in outlook.release.tables:
        return None
    if name in outlook.situation.awaiting:
        return Reason("an accepted finding must be verified")
    if name in outlook.situation.maturing:
        return Reason("outcomes have matured")
    examples = outlook.inputs(name, "monitor")
    return examples and Reason(f"outcomes may have arrived: {examples.text}", examples.if_changed)
