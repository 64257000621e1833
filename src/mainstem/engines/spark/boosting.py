"""Fit the trees of XGBoost on the rows of a DataFrame: each worker holds its part, and they add up their histograms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mainstem.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SCHEMA = "label double, weight double, features array<float>"
_LOGGER = "XGBoost-PySpark"


def boosted(
    rows: DataFrame,
    function: Callable[[pa.RecordBatch], pa.RecordBatch],
    parameters: Mapping[str, Any],
    rounds: int,
) -> bytes:
    """Return a model of XGBoost as JSON, fitted on what the function makes of the rows.

    There is one worker for each task that can run at once. Raises `MissingExtra`, and `EngineError` on Spark Connect.
    """
    try:
        from xgboost.spark import SparkXGBRegressor
    except ImportError:
        raise MissingExtra.named("xgboost", "xgboost") from None
    logging.getLogger(_LOGGER).setLevel(logging.WARNING)
    # The regressor takes every objective. The classifier would derive its own from the labels that it finds.
    fit = SparkXGBRegressor(
        **parameters,
        n_estimators=rounds,
        num_workers=_slots(rows),
        label_col="label",
        weight_col="weight",
        features_col="features",
        disable_default_eval_metric=True,
        verbose=False,
    )
    found = fit.fit(rows.mapInArrow(lambda batches: map(function, batches), _SCHEMA))
    return bytes(found.get_booster().save_raw("json"))


def _slots(rows: DataFrame) -> int:
    """Return how many tasks can run at once. All workers have to: they wait for each other."""
    context = getattr(rows.sparkSession, "_sc", None)
    if context is None:
        raise EngineError(
            "xgboost@spark requires a classic session of Spark",
            got="Spark Connect",
            expected="master = local[*], spark://…, yarn or k8s://…",
        )
    spark = context._jsc.sc()
    return max(1, int(spark.maxNumConcurrentTasks(spark.resourceProfileManager().resourceProfileFromId(0))))
