"""The predictors of a release: each endpoint's, with its version, its features and what it decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mainstem.errors import Unavailable
from mainstem.features.forecasts import forecast_of
from mainstem.features.requests import sent
from mainstem.features.retrieval import Retrieval, retrieval_of
from mainstem.logs.records import CHAMPION, Role
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.columns import lacking
from mainstem.models.versions.registry import redefined
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.models import Model
from mainstem.nodes.overrides import Override
from mainstem.nodes.records import ModelVersion, Release
from mainstem.ports import Artifacts, State, Store
from mainstem.serving.choosing import ChoosingPredictor
from mainstem.serving.decisions.choices import choices_of
from mainstem.serving.decisions.offers import Stored
from mainstem.serving.decisions.policy import check_classes, policy_of
from mainstem.serving.features import FeatureReader
from mainstem.serving.forecasting import ForecastingPredictor
from mainstem.serving.live import NoChampion
from mainstem.serving.predictor import Predictor, events_of
from mainstem.streaming.predictions import example_key

logger = logging.getLogger(__name__)

TRAIN = "mainstem run, to train a challenger for the present project; then mainstem promote"


class Predictors:
    """Makes predictors. `artifacts` is where those of versions are, `stored` reads candidates from tables of a release,
    and `overriding` returns what operators decided for an endpoint. `scorers` are loaded already, by version."""

    def __init__(
        self,
        state: State,
        store: Store,
        artifacts: Artifacts,
        stored: Callable[[Graph, Release], Stored],
        overriding: Callable[[str], Sequence[Override]],
    ) -> None:
        self._state, self._store, self._artifacts = state, store, artifacts
        self._stored, self._overriding = stored, overriding
        self.scorers: Mapping[str, Scorer] = {}

    def of_champion(
        self, graph: Graph, release: Release, name: str, node: Endpoint, features: FeatureReader
    ) -> Predictor:
        """Return the predictor of an endpoint's champion. Raises `NoChampion` or `Unavailable`."""
        version = self._champion(release, name, graph.name_of(node.model))
        return self.of(graph, release, name, node, version, features)

    def of_challenger(
        self, graph: Graph, release: Release, name: str, node: Endpoint, features: FeatureReader, id: str, model: Model
    ) -> Predictor:
        """Return the predictor of a version of `model` beside an endpoint's champion. Raises `Unavailable`."""
        version = self._state.get(ModelVersion, id)
        if version is None:
            raise Unavailable(f"the challenger {id} no longer exists", hint="mainstem run")
        return self.of(graph, release, name, node, version, features, "challenger", model)

    def of_newest(self, graph: Graph, release: Release, model: str) -> Predictor:
        """Return a predictor of a model's newest version, promoted or not. Raises `Unavailable` without a version."""
        id = release.models.get(model)
        version = self._state.get(ModelVersion, id) if id else None
        if version is None:
            raise Unavailable(f"the model {model!r} has no version yet", hint="mainstem run")
        node: Any = graph[model].node
        features = FeatureReader(graph, release, self._store)
        return self.of(graph, release, model, Endpoint(model=node), version, features)

    def of(
        self,
        graph: Graph,
        release: Release,
        name: str,
        node: Endpoint,
        version: ModelVersion,
        features: FeatureReader,
        role: Role = CHAMPION,
        learned: Model | None = None,
    ) -> Predictor:
        """Return the predictor of a version at an endpoint, or of a challenger that learned the model `learned`."""
        model = graph.name_of(learned or node.model)
        retrieval = retrieval_of(graph, model)
        choices = choices_of(graph, name) if node.candidates is not None else None
        read = [lookup.view.name for lookup in retrieval.lookups]
        views = {view: features.view(view) for view in (*read, *(choices.views if choices else ()))}
        _check_inputs(version, retrieval)
        scorer = self._scorer(version, node)
        changed = redefined(version, graph)
        if changed:
            told = "the definitions of some features changed since %s was trained: %s"
            logger.warning(told, version.id, ", ".join(changed))
        parts: dict[str, Any] = {
            "name": name,
            "endpoint": node,
            "retrieval": retrieval,
            "views": views,
            "version": version,
            "scorer": scorer,
            "sent": sent(graph, model, example_key(graph, model)),
            "floor": drained(release, f"predictions.{name}"),
            "redefined": changed,
            "overriding": lambda: self._overriding(name),
            "role": role,
        }
        if node.on is not None:
            parts["events"] = events_of(graph[graph.name_of(node.on)])
        if (forecast := forecast_of(graph, model)) is not None:
            return ForecastingPredictor(forecast, **parts)
        if choices is not None:
            check_classes(choices.ranking, scorer.classes, version.id)
            return ChoosingPredictor(choices.ready(self._stored(graph, release)), **parts)
        policy = policy_of(graph, name) if node.decide is not None else None
        if policy is not None:
            check_classes(policy, scorer.classes, version.id)
        return Predictor(**parts, policy=policy, read=self._store.read)

    def _scorer(self, version: ModelVersion, node: Endpoint) -> Scorer:
        scorer = self.scorers.get(version.id) or Scorer.load(self._artifacts / version.artifact)
        if node.model.horizons and not scorer.manifest.horizons:
            raise Unavailable(
                f"{version.id} does not forecast, and the project declares horizons",
                got="a version without horizons",
                expected=f"one that learned {', '.join(node.model.horizons)}",
                hint=TRAIN,
            )
        return scorer

    def _champion(self, release: Release, endpoint: str, model: str) -> ModelVersion:
        id = release.champion(endpoint)
        if id is None:
            hint = (
                f"mainstem promote {model}"
                if model in release.models
                else f"mainstem run, then mainstem promote {model}"
            )
            raise NoChampion(f"the endpoint {endpoint!r} has no champion yet", where=f"model {model}", hint=hint)
        version = self._state.get(ModelVersion, id)
        if version is None:
            raise Unavailable(f"the champion {id} of {endpoint!r} no longer exists", hint=f"mainstem promote {model}")
        return version


def _check_inputs(version: ModelVersion, retrieval: Retrieval) -> None:
    unknown = lacking(version.inputs, {**retrieval.request, **retrieval.columns})
    if unknown:
        what = f"{version.id} requires inputs that the project does not have"
        raise Unavailable(what, got=", ".join(unknown), hint=TRAIN)


def drained(release: Release, table: str) -> int:
    """Return the number of entries of a log that are in the lake."""
    snapshot = release.tables.get(table)
    return int(snapshot.cursor or 0) if snapshot is not None else 0
