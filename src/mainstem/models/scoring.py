"""Score the rows of a table by a model's artifact, in batches, where the engine computes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from mainstem.errors import NotFound
from mainstem.features.dataset import with_features
from mainstem.features.forecasts import forecast_of
from mainstem.features.retrieval import meaning, retrieval_of
from mainstem.graph.lineage import leaves
from mainstem.graph.named import named
from mainstem.models.artifact.manifest import Manifest
from mainstem.models.artifact.scorer import Scorer, verified
from mainstem.models.data.columns import lacking, rows_of
from mainstem.models.versions.registry import redefined
from mainstem.nodes.definition import Graph
from mainstem.nodes.durations import microseconds
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.forecasts import FOR, HORIZON
from mainstem.nodes.hidden import T
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import InputColumn, ModelVersion, Release
from mainstem.nodes.scores import AT, FEATURES, LABEL, MADE_BY, SCORE, SCORES, VERSION
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Artifacts, DataFile, Distributed, ReplaceAll, Session, Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mainstem.nodes.scores import Score

_WRITTEN = "_scored"


def chosen(graph: Graph, release: Release, model: str) -> tuple[str | None, str]:
    """Return the id of the version that scores, and the endpoint whose champion it is: "" for the newest version of a
    model without an endpoint."""
    for name, node in sorted(graph.of(Endpoint).items()):
        if graph.name_of(node.model) == model:
            return release.champion(name), name
    return release.models.get(model), ""


def to_score(graph: Graph, name: str, inputs: Sequence[InputColumn], horizons: Sequence[str] = ()) -> ibis.Table:
    """Return the rows to score: the columns that are stored as they are, and the inputs of a version as known at the
    prediction time. Of a forecast, each row comes once for each of the version's `horizons`."""
    node: Score = graph[name].node  # type: ignore[assignment]
    of, model = graph[graph.name_of(node.of)], graph.name_of(node.model)
    declared: Any = graph[model].node
    retrieval = retrieval_of(graph, model)
    rows, ahead = of.read, {}
    assert rows is not None
    if (forecast := forecast_of(graph, model)) is not None:
        forecast = replace(forecast, horizons={each: microseconds(each) for each in horizons})
        rows = forecast.ahead(rows)
        ahead = {HORIZON: forecast.written(rows), FOR: rows[FOR]}
    timed = declared.prediction_time is not None
    time = resolve_column(rows, declared.prediction_time, of.where) if timed else ibis.null()
    stored = {**{column: rows[column] for column in node.key}, **ahead}
    kept = {f"_key_{column}": value for column, value in stored.items()}
    asked = rows.select(*named({**{c: rows[c] for c in retrieval.request}, **kept, T: time.cast(INSTANT)}))
    found = with_features(asked, retrieval)
    own = {column: found[f"_key_{column}"] for column in stored}
    moment = {AT: found[T]} if timed else {}
    return found.select(*named({**{f"_in_{c.name}": found[c.name] for c in inputs}, **own, **moment}))


@dataclass
class Batches:
    """A function of batches: the rows of `to_score` to those that are stored. It can be sent to another process."""

    manifest: Manifest
    model: bytes
    version: str
    schema: pa.Schema
    _scorer: Scorer | None = field(default=None, repr=False)

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self._scorer = self._scorer or Scorer(self.manifest, self.model)
        table = pa.Table.from_batches([batch])
        inputs = {name.removeprefix("_in_"): name for name in table.column_names if name.startswith("_in_")}
        rows = rows_of(table.select(list(inputs.values())).rename_columns(list(inputs)), self.manifest.inputs)
        made = {**_answers(self._scorer, self._scorer.score_rows(rows)), VERSION: [self.version] * len(table)}
        given = frozenset(batch.schema.names)
        columns = [
            batch.column(each.name).cast(each.type) if each.name in given else pa.array(made[each.name], each.type)
            for each in self.schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_scorer": None}


def _answers(scorer: Scorer, scores: NDArray[np.float64]) -> dict[str, Any]:
    """Return the columns of scores; of several for a row, that of the likeliest class or the median, and all."""
    if scores.ndim == 1:
        return {SCORE: scores, LABEL: [None] * len(scores), SCORES: [None] * len(scores)}
    best = [scorer.best(row) for row in scores]
    classed = scorer.manifest.task == "multiclass"
    return {
        SCORE: scores[range(len(scores)), best],
        LABEL: [scorer.classes[place] if classed else None for place in best],
        SCORES: [
            json.dumps(dict(zip(scorer.classes, row, strict=True)), ensure_ascii=False) for row in scores.tolist()
        ],
    }


@dataclass(frozen=True)
class Scoring:
    """The executor of `score`. It scores all rows again, by the artifacts at `root`."""

    root: Artifacts

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Store the scores. Without a version that can score, earlier scores of the same columns stay; else the table
        has no rows, so that what reads it can be built."""
        name = step.node
        node: Score = context.graph[name].node  # type: ignore[assignment]
        model = context.graph.name_of(node.model)
        id, endpoint = chosen(context.graph, context.release, model)
        version = context.records.get(ModelVersion, id) if id is not None else None
        if id is not None and version is None:
            raise NotFound(f"unknown model version {id!r}")
        hint = f"mainstem promote {endpoint or model}"
        if version is None:
            return _without(context, name, f"{endpoint or model} has no version that can score yet; {hint}")
        retrieval = retrieval_of(context.graph, version.model)
        if missing := lacking(version.inputs, {**retrieval.request, **retrieval.columns}):
            return _without(context, name, f"{id} requires {', '.join(missing)}, which {model} has no more; {hint}")
        manifest, artifact = verified(self.root / version.artifact)
        if HORIZON in node.key and not manifest.horizons:
            return _without(context, name, f"{id} does not forecast, as {model} does now; {hint}")
        each = Batches(manifest, artifact, version.id, _schema(context, name).to_pyarrow())
        rows = to_score(context.graph, name, version.inputs, manifest.horizons)
        with context.session(leaves(rows)) as session:
            files = _written(context, session, rows, each, _target(context, name))
        changed = ", ".join(redefined(version, context.graph))
        told = f"; {changed} changed since it was trained" if changed else ""
        return _stored(context, name, files, version.id, f"scored by {id}{told}")


def _without(context: Context, name: str, why: str) -> StepResult:
    held = context.release.tables.get(name)
    if held is not None and {each.name for each in held.fields} == set(_schema(context, name)):
        return StepResult(message=f"earlier scores stay: {why}")
    return _stored(context, name, (), "", f"no scores: {why}")


def _stored(context: Context, name: str, files: tuple[DataFile, ...], made_by: str, told: str) -> StepResult:
    base, target = context.release.tables.get(name), _target(context, name)
    node: Any = context.graph[name].node
    properties = {MADE_BY: made_by, FEATURES: meaning(context.graph, context.graph.name_of(node.model))}
    snapshot = context.lake.commit(
        name, target, files, base=base, run=context.run, change=ReplaceAll(), properties=properties
    )
    count = sum(file.rows for file in files)
    return StepResult(tables={name: snapshot}, rows_in=count, published=count, message=told)


def _schema(context: Context, name: str) -> ibis.Schema:
    return ibis.schema(dict(context.graph[name].schema or {}))


def _target(context: Context, name: str) -> Target:
    return context.lake.target(name, dict(context.graph[name].schema or {}))


def _written(
    context: Context, session: Session, rows: ibis.Table, each: Batches, target: Target
) -> tuple[DataFile, ...]:
    if isinstance(session, Distributed):
        return session.write_mapped(rows, each, ibis.Schema.from_pyarrow(each.schema), target)

    def scored() -> Iterator[pa.RecordBatch]:
        for batch in session.batches(rows):
            yield each(batch)

    reader = pa.RecordBatchReader.from_batches(each.schema, scored())
    with context.engine.session({_WRITTEN: reader}) as writing:
        return writing.write(ibis.table(ibis.Schema.from_pyarrow(each.schema), name=_WRITTEN), target)
