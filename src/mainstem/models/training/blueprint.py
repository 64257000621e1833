"""A resolved model: its dataset as an expression, and its inputs with the source columns they derive from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from mainstem.errors import ModelError, SchemaError
from mainstem.features.gaps import Gap, gap_of
from mainstem.models.data.labels import check_target, infer
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.expressions import names_in
from mainstem.nodes.forecasts import HORIZON
from mainstem.nodes.models import USUAL_GAP, Model, Task
from mainstem.nodes.outcomes import condition_of
from mainstem.nodes.records import InputColumn

if TYPE_CHECKING:
    import ibis
    import ibis.expr.datatypes as dt

    from mainstem.features.offline.join import AsOf
    from mainstem.features.retrieval import Retrieval
    from mainstem.features.views.view import Feature, Lookup

Sources = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Blueprint:
    """The dataset of a training: it has the examples' `key`, `_t`, the inputs and `_target`.

    `offset` is how much later than its row (µs) a forecast is made. The `gap` of `model` is that of `gap`.
    """

    name: str
    model: Model
    dataset: ibis.Table
    inputs: tuple[InputColumn, ...]
    key: tuple[str, ...] = ()
    offset: int = 0
    gap: Gap = Gap(USUAL_GAP, "the default")  # noqa: RUF009 - frozen


def blueprint_of(graph: Graph, name: str, as_of: AsOf = "arrived") -> Blueprint:
    """Return the model's dataset and inputs. Raises `ModelError` if `name` is not a model, or has no inputs."""
    from mainstem.features.dataset import dataset, retrieval_of
    from mainstem.features.forecasts import forecast_of

    model = graph[name].node
    if not isinstance(model, Model):
        raise ModelError(f"{name!r} is not a model", got=type(model).__name__)
    retrieval = retrieval_of(graph, name)
    inputs = inputs_of(retrieval.columns, sources_of(graph, retrieval))
    if not inputs:
        raise ModelError("the model has no inputs", hint="features=[…] with at least one number or text")
    key = (*getattr(graph[retrieval.examples].node, "key", ()), *([HORIZON] if model.horizons else []))
    forecast = forecast_of(graph, name)
    offset = 0 if forecast is None else forecast.offset
    gap = gap_of(graph, name)
    model = replace(model, gap=gap.length)
    return Blueprint(name, model, dataset(graph, name, as_of=as_of), inputs, key, offset, gap)


def task_at_load(graph: Graph, name: str) -> Task:
    """Return a model's declared task, or that of its target's type. Raises `SchemaError` for another type."""
    node: Any = graph[name].node
    kind = target_at_load(graph, name)
    try:
        if node.task is not None:
            check_target(kind, node.task)
        return node.task or infer(kind)
    except ModelError as problem:
        raise SchemaError(problem.what, got=problem.got, expected=problem.expected, hint=problem.hint) from None


def target_at_load(graph: Graph, name: str) -> dt.DataType:
    """Return the type of a model's target."""
    import ibis

    from mainstem.nodes.expressions import resolve_column

    node: Any = graph[name].node
    examples = graph[graph.name_of(node.examples)]
    table = ibis.table(dict(examples.schema or {}), name=examples.name)
    return resolve_column(table, condition_of(node.target), graph[name].where).type()


def inputs_of(columns: Mapping[str, str], sources: Mapping[str, Sources]) -> tuple[InputColumn, ...]:
    """Return the model columns (name → Ibis type) that are inputs: numbers, booleans and texts.

    An instant or a list is not an input, but an on-demand feature computed from it (the hour, the first item) can be.
    Raises `ModelError` for any other type.
    """
    found = ((name, _kind(name, kind)) for name, kind in columns.items())
    return tuple(InputColumn(name, kind, sources.get(name, ())) for name, kind in found if kind is not None)


def _kind(name: str, kind: str) -> Any:
    import ibis.expr.datatypes as dt

    dtype = dt.dtype(kind)
    if dtype.is_temporal() or dtype.is_array():
        return None
    if dtype.is_string():
        return "string"
    if dtype.is_numeric() or dtype.is_boolean():
        return "float"
    raise ModelError(f"the model column {name!r} is neither a number nor a text", got=kind)


def sources_of(graph: Graph, retrieval: Retrieval) -> dict[str, Sources]:
    """Return for each request field and model column the `source.column`s that it derives from, sorted."""
    from mainstem.features.views.view import Lookup

    examples = graph[retrieval.examples]
    found: dict[str, Sources] = {field: examples.columns.get(field, ()) for field in retrieval.request}
    for action in retrieval.actions:
        if isinstance(action, Lookup):
            found.update(_looked_up(graph[action.view.source], action))
        else:
            for name, value in action.node.features.items():
                found[name] = _union(found.get(column, ()) for column in names_in(value))
    return found


def _looked_up(source: Definition, action: Lookup) -> Iterator[tuple[str, Sources]]:
    for column, feature in action.columns.items():
        yield column, _union(source.columns.get(name, ()) for name in _read(action, feature))


def _read(action: Lookup, feature: Feature) -> list[str]:
    """Return the source columns that a feature reads. A count reads none: it depends on when rows happened."""
    if not feature.arguments:
        return [moment.column for moment in action.view.known.moments]
    return [field.name for argument in feature.arguments for field in action.view.rows[argument].op().find(ops.Field)]


def _union(parts: Iterable[Sources]) -> Sources:
    return tuple(sorted({source for part in parts for source in part}))
