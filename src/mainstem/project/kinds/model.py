"""Models: leaks are refused, and the declared fingerprint ignores remedies. A run trains them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mainstem.errors import DefinitionError, LeakError, MissingExtra, PluginError, SchemaError, UnknownName
from mainstem.graph.fingerprint import digest
from mainstem.nodes.base import NodeRef
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.features import FeatureView, ViewUse, use
from mainstem.nodes.forecasts import ahead_of
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.metrics import OwnMetric
from mainstem.nodes.models import CLASSES, Model, Task
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook, Reason
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.canonical import plain_feature, plain_model, resolved
from mainstem.project.kinds.scope import Scope
from mainstem.tables.memory import Memory

if TYPE_CHECKING:
    import ibis
    import ibis.expr.datatypes as dt

# The fingerprint includes these as resolved. `assume_known` changes the checks, not the data.
WRITTEN = (
    *("examples", "features", "prediction_time", "target", "assume_known", "groups", "split", "window", "test"),
    *("candidates", "monotone", "weight", "threshold", "slices", "own_metric", "tune", "ensemble", "calibrate"),
    "also_measure",
    "quantiles",
    "query",
    "sampling",
    "horizons",
    "series",
    "prepare",
    "engineer",
    "select",
    "jobs",
    "gap_declared",
)


class ModelKind(NodeKind[Model]):
    node_type = Model
    is_data = False

    def references(self, node: Model, memory: Memory | None = None) -> Sequence[NodeRef]:
        return [node.examples, *(use(f).view for f in node.features if isinstance(f, (FeatureView, ViewUse)))]

    def define(self, name: str, node: Model, inputs: tuple[str, ...], scope: Scope) -> Definition:
        examples = scope.visible(inputs[0])
        _check_prediction_time(node, examples)
        _check_window(node)
        features = [plain_feature(feature, scope.names) for feature in node.features]
        own = digest("model", plain_model(node, WRITTEN), *features, *resolved(node, examples))
        fingerprint = digest(own, *(scope.done[each].declared_fingerprint for each in inputs))
        return Definition(name, node, inputs, fingerprint, fingerprint, own=own)

    def check(self, graph: Graph) -> None:
        from mainstem.features.dataset import check_assumed, check_leaks
        from mainstem.features.fallbacks import check_fallbacks
        from mainstem.features.forecasts import check_forecast
        from mainstem.features.gaps import gap_of
        from mainstem.features.keys import check_keys
        from mainstem.features.targets import check_outcome
        from mainstem.models.training.blueprint import task_at_load
        from mainstem.models.training.declared import (
            check_beyond,
            check_candidates,
            check_effects,
            check_engineer,
            check_monotone,
            check_onnx,
            check_prepare,
            check_sampling,
            check_weight,
        )

        metrics: dict[str, OwnMetric] = {}
        for name, node in graph.of(Model).items():
            try:
                check_outcome(graph, name)
                task = task_at_load(graph, name)
                check_forecast(graph, name, task)
                check_candidates(node, task)
                check_onnx(graph, name)
                check_monotone(graph, name)
                check_prepare(graph, name)
                check_engineer(graph, name)
                check_weight(graph, name)
                check_sampling(node, task)
                check_effects(node)
                check_beyond(graph, name)
                _check_metrics(node, task, metrics)
                _check_report(graph, name, node, task)
                check_assumed(graph, name)
                check_keys(graph, name)
                check_leaks(graph, name)
                gap_of(graph, name)
            except (DefinitionError, LeakError, MissingExtra, PluginError, SchemaError, UnknownName) as problem:
                raise problem.at(graph[name].where) from None
        check_fallbacks(graph)

    def due(self, name: str, node: Model, outlook: Outlook) -> Iterable[Due]:
        reason = _reason(name, node, outlook)
        return due("train", reason, "model", () if reason is None else _told(name, node, outlook.graph))


def _check_metrics(node: Model, task: Task, known: dict[str, OwnMetric]) -> None:
    """Refuse metrics of another task and unknown ones, and two of one's own with one name."""
    from mainstem.models.metrics import alone, judge_of, metric, own

    for each in (node.own_metric, *node.also_measure):
        if isinstance(each, OwnMetric):
            alone(each, known)
            own(each, task, node.quantiles)
        elif each is not None:
            metric(each, task)
    if node.metric is not None and node.own_metric is None:
        judge_of(node.metric, task)


def _check_report(graph: Graph, name: str, node: Model, task: Task) -> None:
    """Refuse a threshold of another task, and slices by columns that are not inputs."""
    from mainstem.features.dataset import retrieval_of
    from mainstem.models.training.blueprint import inputs_of

    if node.threshold is not None and task != "binary":
        raise DefinitionError(
            "`threshold` of a model requires a binary task",
            got=f"{name!r} is {task}",
            expected="a target that is true or false",
            hint="an endpoint's `threshold` decides by a value" if task not in CLASSES else None,
        )
    if node.slices and task == "ranking":
        raise DefinitionError(
            "`slices` of a ranking are not measured: rows are judged together", got=f"slices={node.slices!r}"
        )
    if node.slices:
        inputs = [column.name for column in inputs_of(retrieval_of(graph, name).columns, {})]
        for each in (column for crossing in node.slices for column in crossing):
            if each not in inputs:
                raise UnknownName.among("input of the model in `slices`", each, inputs)


def _told(name: str, node: Model, graph: Graph) -> tuple[str, ...]:
    """Return the task and why it is that one, and what is forecast, in words."""
    ahead = f"forecasts {ahead_of(node)}; folds are a rolling-origin backtest"
    return (*_task(name, node, graph), *([ahead] if node.horizons else []), *_gap(name, node, graph))


def _gap(name: str, node: Model, graph: Graph) -> tuple[str, ...]:
    """Return the gap and why it is that long, in words; nothing of a default, and of examples without types yet."""
    from mainstem.features.gaps import gap_of

    if node.prediction_time is None or not graph[graph.name_of(node.examples)].schema:
        return ()
    found = gap_of(graph, name)
    late = " and ".join(map(str, found.late))
    told = [f"the gap is {found}"] if found.length != node.gap else []
    return (*told, *([f"training has no labels that are known at {late} after the test begins"] if late else []))


def _task(name: str, node: Model, graph: Graph) -> tuple[str, ...]:
    """Return the task, and why it is that one, in words; nothing of a model whose examples have no types yet."""
    from mainstem.models.training.blueprint import target_at_load, task_at_load

    if node.task is not None:
        by = "`quantiles` declares" if node.quantiles else "`query` declares" if node.query is not None else "declared"
        return (f"the task is {node.task}, as {by}",)
    if not graph[graph.name_of(node.examples)].schema:
        return ()
    kind = target_at_load(graph, name)
    other = _others(node, kind)
    return (f"the task is {task_at_load(graph, name)}, from the type of the target ({kind}){other}",)


def _others(node: Model, kind: dt.DataType) -> str:
    """Return the tasks that a target of this type may be meant for instead."""
    from mainstem.models.data.two import compared

    if not (kind.is_integer() or kind.is_string()):
        return ""
    value = "1" if kind.is_integer() else '"yes"'
    also = '; task="multiclass" learns classes, task="count" whole numbers from 0 on' if kind.is_integer() else ""
    return f"; a comparison such as {compared(node.target, value)} is binary{also}"


def _reason(name: str, node: Model, outlook: Outlook) -> Reason | None:
    if name not in outlook.release.models:
        return Reason("never trained")
    if outlook.redefined(name):
        return Reason(outlook.redefinition(name))
    return outlook.inputs(name, "train") if node.retrain == "data" else None


def _check_prediction_time(node: Model, examples: ibis.Table) -> None:
    from mainstem.nodes.expressions import resolve_column

    if node.prediction_time is None:
        return _check_untimed(node)
    value = resolve_column(examples, node.prediction_time)
    kind = value.type()
    naive = kind.is_timestamp() or kind.is_date()
    if naive and (_is_utc(kind) or _is_of_instants(value)):
        return None
    instants = [c for c, t in examples.schema().items() if _is_utc(t)]
    raise SchemaError(
        f"the prediction time {node.prediction_time!r} is not an instant",
        got=str(kind),
        expected=INSTANT,
        hint=f'if it is in UTC, cast it: (…).cast("{INSTANT}")' if naive else _one_of(instants),
    )


def _check_untimed(node: Model) -> None:
    """Refuse settings that need to know when a prediction is made. Raises `DefinitionError`."""
    views = [feature for feature in node.features if isinstance(feature, (FeatureView, ViewUse))]
    if views:
        raise DefinitionError(
            "a feature view requires `prediction_time`: its features are looked up as of a time",
            got=repr(use(views[0]).view),
            hint="prediction_time=_.ordered_at, or join the columns in a table",
        )
    gap = node.gap if node.gap_declared else None
    durations = {"window": node.window, "test": node.test if isinstance(node.test, str) else None, "gap": gap}
    for name, value in durations.items():
        if value is not None:
            raise DefinitionError(f"`{name}` as a duration requires `prediction_time`", got=f"{name}={value!r}")


def _check_window(node: Model) -> None:
    """Refuse a window where the user says which rows train. Raises `DefinitionError`."""
    if node.window is not None and node.split is not None:
        raise DefinitionError(
            "`window` and `split` both say which rows train",
            got=f"window={node.window!r}, split={node.split!r}",
            expected="one of them",
            hint="leave out `window`, and give older rows a null in `split`",
        )


def _is_of_instants(value: Any) -> bool:
    """Return whether a day or a naive timestamp is rounded from instants: Ibis drops their zone."""
    import ibis.expr.operations as ops

    times = [field.dtype for field in value.op().find(ops.Field)]
    through = [cast.to for cast in value.op().find(ops.Cast)]
    return bool(times) and all(map(_is_utc, times)) and all(kind.is_temporal() for kind in through)


def _is_utc(kind: Any) -> bool:
    return bool(kind.is_timestamp() and kind.timezone == "UTC")


def _one_of(instants: Sequence[str]) -> str:
    return f"instants of the examples: {', '.join(instants)}" if instants else "the examples need an instant"
