"""Mainstem: one graph from raw data to live predictions and back.

    import mainstem as ms

    flights = ms.files("data/flights/*.csv", key="flight_id", time="scheduled_at")

    @ms.table(key="flight_id", checks=[ms.not_null("origin")])
    def legs(flights): ...

Names are imported when they are first used, so that `import mainstem` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "mainstem.nodes.kafka": ("kafka",),
    "mainstem.nodes.limits": ("limits",),
    "mainstem.nodes.databases": ("database",),
    "mainstem.nodes.dlts": ("dlt",),
    "mainstem.nodes.files": ("files",),
    "mainstem.nodes.apis": ("api",),
    "mainstem.nodes.auth": ("api_key", "basic", "bearer", "oauth2"),
    "mainstem.nodes.scores": ("score",),
    "mainstem.nodes.sinks": ("sink",),
    "mainstem.nodes.sources": ("stream",),
    "mainstem.nodes.web": ("web",),
    "mainstem.nodes.tables": ("table",),
    "mainstem.nodes.tls": ("tls",),
    "mainstem.tables.joins": ("join",),
    "mainstem.tables.similarity": ("similar",),
    "mainstem.tables.unions": ("union",),
    "mainstem.nodes.checks": (
        "not_null",
        "unique",
        "between",
        "accepted",
        "expression",
        "foreign_key",
        "row_count",
        "fresh",
    ),
    "mainstem.nodes.anomalies": ("anomaly",),
    "mainstem.nodes.features": ("feature_view", "on_demand"),
    "mainstem.nodes.reductions": (
        "aggregate",
        "bottom_k",
        "by",
        "ewma",
        "first_k",
        "histogram",
        "last_k",
        "rate",
        "share",
        "skew",
        "slope",
        "time_since_last",
        "top_k",
        "windowed",
    ),
    "mainstem.nodes.engineering": (
        "cyclic",
        "group_statistics",
        "holidays",
        "interactions",
        "pca",
        "ratios",
        "select",
        "truncated_svd",
    ),
    "mainstem.nodes.metrics": ("metric",),
    "mainstem.nodes.models": ("model",),
    "mainstem.models.algorithms.naive": ("naive",),
    "mainstem.models.algorithms.linear": ("linear",),
    "mainstem.models.algorithms.elastic_net": ("elastic_net",),
    "mainstem.models.algorithms.knn": ("knn",),
    "mainstem.models.algorithms.naive_bayes": ("naive_bayes",),
    "mainstem.models.algorithms.decision_tree": ("decision_tree",),
    "mainstem.models.algorithms.random_forest": ("random_forest",),
    "mainstem.models.algorithms.extra_trees": ("extra_trees",),
    "mainstem.models.algorithms.hist_boosting": ("hist_boosting",),
    "mainstem.models.algorithms.lightgbm": ("lightgbm",),
    "mainstem.models.algorithms.linear_boosting": ("linear_boosting",),
    "mainstem.models.algorithms.xgboost": ("xgboost",),
    "mainstem.models.algorithms.catboost": ("catboost",),
    "mainstem.models.algorithms.mlp": ("mlp",),
    "mainstem.models.algorithms.estimators": ("sklearn",),
    "mainstem.models.algorithms.onnx_model": ("onnx_model",),
    "mainstem.models.algorithms.spaces": ("among",),
    "mainstem.nodes.thresholds": ("threshold",),
    "mainstem.nodes.challengers": ("canary", "challenger"),
    "mainstem.nodes.decisions": ("best", "cheapest", "top"),
    "mainstem.nodes.endpoints": ("endpoint", "calibration", "drift", "performance", "value"),
    "mainstem.nodes.exploring": ("epsilon",),
    "mainstem.nodes.latencies": ("latency",),
    "mainstem.nodes.offers": ("candidates", "grid", "neighbours", "request", "steps"),
    "mainstem.nodes.outcomes": ("outcome",),
    "mainstem.project.project": ("Project", "load"),
}
_MODULES = {
    "clean": "mainstem.nodes.clean",
    "errors": "mainstem.errors",
    "paging": "mainstem.nodes.paging",
    "prepare": "mainstem.nodes.prepare",
    "testing": "mainstem.testing",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Project",
    "accepted",
    "aggregate",
    "among",
    "anomaly",
    "api",
    "api_key",
    "basic",
    "bearer",
    "best",
    "between",
    "bottom_k",
    "by",
    "calibration",
    "canary",
    "candidates",
    "catboost",
    "challenger",
    "cheapest",
    "clean",
    "cyclic",
    "database",
    "decision_tree",
    "dlt",
    "drift",
    "elastic_net",
    "endpoint",
    "epsilon",
    "errors",
    "ewma",
    "expression",
    "extra_trees",
    "feature_view",
    "files",
    "first_k",
    "foreign_key",
    "fresh",
    "grid",
    "group_statistics",
    "hist_boosting",
    "histogram",
    "holidays",
    "interactions",
    "join",
    "kafka",
    "knn",
    "last_k",
    "latency",
    "lightgbm",
    "limits",
    "linear",
    "linear_boosting",
    "load",
    "metric",
    "mlp",
    "model",
    "naive",
    "naive_bayes",
    "neighbours",
    "not_null",
    "oauth2",
    "on_demand",
    "onnx_model",
    "outcome",
    "paging",
    "pca",
    "performance",
    "prepare",
    "random_forest",
    "rate",
    "ratios",
    "request",
    "row_count",
    "score",
    "select",
    "share",
    "similar",
    "sink",
    "skew",
    "sklearn",
    "slope",
    "steps",
    "stream",
    "table",
    "testing",
    "threshold",
    "time_since_last",
    "tls",
    "top",
    "top_k",
    "truncated_svd",
    "union",
    "unique",
    "value",
    "web",
    "windowed",
    "xgboost",
]

if TYPE_CHECKING:
    from mainstem import errors, testing
    from mainstem.models.algorithms.catboost import catboost
    from mainstem.models.algorithms.decision_tree import decision_tree
    from mainstem.models.algorithms.elastic_net import elastic_net
    from mainstem.models.algorithms.estimators import sklearn
    from mainstem.models.algorithms.extra_trees import extra_trees
    from mainstem.models.algorithms.hist_boosting import hist_boosting
    from mainstem.models.algorithms.knn import knn
    from mainstem.models.algorithms.lightgbm import lightgbm
    from mainstem.models.algorithms.linear import linear
    from mainstem.models.algorithms.linear_boosting import linear_boosting
    from mainstem.models.algorithms.mlp import mlp
    from mainstem.models.algorithms.naive import naive
    from mainstem.models.algorithms.naive_bayes import naive_bayes
    from mainstem.models.algorithms.onnx_model import onnx_model
    from mainstem.models.algorithms.random_forest import random_forest
    from mainstem.models.algorithms.spaces import among
    from mainstem.models.algorithms.xgboost import xgboost
    from mainstem.nodes import clean, paging, prepare
    from mainstem.nodes.anomalies import anomaly
    from mainstem.nodes.apis import api
    from mainstem.nodes.auth import api_key, basic, bearer, oauth2
    from mainstem.nodes.challengers import canary, challenger
    from mainstem.nodes.checks import accepted, between, expression, foreign_key, fresh, not_null, row_count, unique
    from mainstem.nodes.databases import database
    from mainstem.nodes.decisions import best, cheapest, top
    from mainstem.nodes.dlts import dlt
    from mainstem.nodes.endpoints import calibration, drift, endpoint, performance, value
    from mainstem.nodes.engineering import (
        cyclic,
        group_statistics,
        holidays,
        interactions,
        pca,
        ratios,
        select,
        truncated_svd,
    )
    from mainstem.nodes.exploring import epsilon
    from mainstem.nodes.features import feature_view, on_demand
    from mainstem.nodes.files import files
    from mainstem.nodes.kafka import kafka
    from mainstem.nodes.latencies import latency
    from mainstem.nodes.limits import limits
    from mainstem.nodes.metrics import metric
    from mainstem.nodes.models import model
    from mainstem.nodes.offers import candidates, grid, neighbours, request, steps
    from mainstem.nodes.outcomes import outcome
    from mainstem.nodes.reductions import (
        aggregate,
        bottom_k,
        by,
        ewma,
        first_k,
        histogram,
        last_k,
        rate,
        share,
        skew,
        slope,
        time_since_last,
        top_k,
        windowed,
    )
    from mainstem.nodes.scores import score
    from mainstem.nodes.sinks import sink
    from mainstem.nodes.sources import stream
    from mainstem.nodes.tables import table
    from mainstem.nodes.thresholds import threshold
    from mainstem.nodes.tls import tls
    from mainstem.nodes.web import web
    from mainstem.project.project import Project, load
    from mainstem.tables.joins import join
    from mainstem.tables.similarity import similar
    from mainstem.tables.unions import union


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'mainstem' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
