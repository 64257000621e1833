"""How far two results of one window may be apart because what was added up cancels.

A sum of large values that cancel is near zero, and as exact as they are, not as it is itself. How large they are is
another feature, over the events of the same window: read by read, whatever other reads saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstem.features.algebra import Aggregation, aggregation
from mainstem.features.views.view import CompiledView, Feature
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
"""Aggregation → what is measured for it: the end of the feature's name → of what column, and how it is reduced."""

_UNITLESS: Mapping[str, float] = {"skew": 1e-9, "kurtosis": 1e-8}
"""Aggregation → the slack of what has no unit, whatever the events."""

_STEEPNESS = 1e-9
"""A slope's slack, relative to that of a line on which all points lie."""

_ROUNDING = 1e-12
"""Any other's, relative to the largest value or the sum of sizes: some thousand times a float's rounding."""


def unitless(feature: Feature) -> float:
    return _UNITLESS.get(feature.aggregation.name, 0.0) if feature.aggregation else 0.0


def is_measured(feature: Feature) -> bool:
    return feature.aggregation is not None and feature.type == "float64" and feature.kind.name in _SIZES


def measured(view: CompiledView) -> CompiledView:
    """The view with what slack is found from beside its features; a view without any to measure is the same."""
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
        view, events=view.events.mutate(**columns), arguments=arguments, features=(*view.features, *features)
    )


def slack(feature: Feature, column: str, found: pa.Table) -> Any:
    """A measured feature's slack in each read, from what the `measured` view found for its `column`.

    Nothing is excused by what has no finite size.
    """
    sizes = [np.asarray(found[f"{column}{end}"].fill_null(np.nan)) for end in _SIZES[feature.kind.name]]
    with np.errstate(all="ignore"):
        if feature.kind.name == "slope":
            size = np.sqrt(sizes[0] / sizes[1]) * microseconds(vars(feature.kind)["per"]) * _STEEPNESS
        else:
            size = sizes[0] * _ROUNDING
    return np.where(np.isfinite(size), size, 0.0)
