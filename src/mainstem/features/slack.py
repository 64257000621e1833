"""The tolerance between two results of one window when large values cancel in a sum.

A sum of large values that cancel is near zero, but only as exact as the values. Their size is measured by additional
features over the same window, for each read separately.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstem.features.algebra import Aggregation, aggregation
from mainstem.features.views.view import CompiledView, Feature
from mainstem.graph.named import named
from mainstem.nodes.durations import microseconds

if TYPE_CHECKING:
    import pyarrow as pa

_VARIANCE = aggregation("var", how="pop")

_SIZES: Mapping[str, Mapping[str, tuple[str, Aggregation]]] = {
    "sum": {"_size": ("_size", aggregation("sum"))},
    "mean": {"_size": ("_size", aggregation("max"))},
    "ewma": {"_size": ("_size", aggregation("max"))},
    "slope": {"_value": ("_value", _VARIANCE), "_when": ("_when", _VARIANCE)},
}
"""Aggregation → its measures: suffix of the feature's name → the measured column and its reduction."""

_UNITLESS: Mapping[str, float] = {"skew": 1e-9, "kurtosis": 1e-8}
"""Aggregation → the absolute slack of a result without a unit."""

_STEEPNESS = 1e-9
"""The slack of a slope, relative to the steepest slope of such values."""

_ROUNDING = 1e-12
"""The slack of others, relative to the largest value or the sum of sizes: some thousand times a float's rounding."""


def unitless(feature: Feature) -> float:
    return _UNITLESS.get(feature.aggregation.name, 0.0) if feature.aggregation else 0.0


def is_measured(feature: Feature) -> bool:
    return feature.aggregation is not None and feature.type == "float64" and feature.kind.name in _SIZES


def measured(view: CompiledView) -> CompiledView:
    """Return the view with the measures added to its features. A view without any to measure is returned unchanged."""
    chosen = [feature for feature in view.features if is_measured(feature)]
    if not chosen:
        return view
    columns: dict[str, Any] = {}
    for argument in {str(feature.argument) for feature in chosen}:
        value = view.events[argument].cast("float64")
        columns |= {f"_size{argument}": value.abs(), f"_value{argument}": value}
        columns[f"_when{argument}"] = value.notnull().ifelse(view.events["_u"].cast("float64"), None)
    features = tuple(
        replace(feature, name=feature.name + end, argument=f"{of}{feature.argument}", aggregation=how, by=None)
        for feature in chosen
        for end, (of, how) in _SIZES[feature.kind.name].items()
    )
    arguments = {**view.arguments, **dict.fromkeys(columns, "float64")}
    return replace(
        view, events=view.events.mutate(*named(columns)), arguments=arguments, features=(*view.features, *features)
    )


def slack(feature: Feature, column: str, found: pa.Table) -> Any:
    """Return the slack of a feature in each read, from the measures of its `column` in the `measured` view.

    A measure that is not finite gives no slack.
    """
    sizes = [np.asarray(found[f"{column}{end}"].fill_null(np.nan)) for end in _SIZES[feature.kind.name]]
    with np.errstate(all="ignore"):
        if feature.kind.name == "slope":
            size = np.sqrt(sizes[0] / sizes[1]) * microseconds(vars(feature.kind)["per"]) * _STEEPNESS
        else:
            size = sizes[0] * _ROUNDING
    return np.where(np.isfinite(size), size, 0.0)
