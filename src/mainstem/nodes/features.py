"""Feature views: time-stamped features per key; and features computed at request time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mainstem.errors import DefinitionError
from mainstem.nodes.base import Deferred, Node, NodeRef, Origin, names, reasons, refused, several
from mainstem.nodes.declared import META, declared
from mainstem.nodes.kinds import (
    anything,
    calculation,
    column,
    columns,
    duration,
    durations,
    expression,
    mapping,
    node,
    optional,
    positive_duration,
    word,
)
from mainstem.nodes.reductions import Aggregate, By, Reduction, Windowed, has_windows


@dataclass(frozen=True, eq=False, kw_only=True)
class FeatureView(Node):
    """Features per `key`: the latest `columns` of a relation, or reductions (`features`) over `windows` of its events.

    Without a key, a view has one set of features over all rows. `using` are views whose features are joined to each
    row, as of the time when the row became known. Durations are texts such as `3h`. `ttl` limits the age of latest
    columns. `resolution` is the step between window starts (None: a default for each window). `grace` is how far back
    online reads are answered.
    """

    source: NodeRef
    key: tuple[str, ...]
    using: tuple[ViewUse, ...] = ()
    columns: tuple[str, ...] = ()
    features: Mapping[str, Reduction] = field(default_factory=dict)
    windows: tuple[str, ...] = ()
    ttl: str | None = None
    resolution: str | None = None
    order_by: str | None = None
    closed: Literal["left", "both"] = "left"
    grace: str = "1d"
    assume_known: Mapping[str, str] = field(default_factory=dict)

    def on(self, *columns: str) -> ViewUse:
        """Look up the view by other columns than its key: `airport.on("dest")` → `airport_dest__delay_1h`."""
        if len(names(columns)) != len(self.key):
            raise DefinitionError(
                f"{self.name or 'the view'}.on() takes {len(self.key)} columns",
                got=", ".join(columns),
                expected=f"one for each key column: {', '.join(self.key)}",
            )
        return ViewUse(view=self, on=columns)


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewUse:
    """A view as a model uses it. Its key is read from the columns `on` of the examples, of earlier views or of the
    request."""

    view: FeatureView
    on: tuple[str, ...]

    def prefix(self, name: str) -> str:
        """Return the prefix of the model's columns: the view's `name`, or `airport_dest` for `airport.on("dest")`."""
        return name if self.on == self.view.key else "_".join((name, *self.on))


@dataclass(frozen=True, eq=False, kw_only=True)
class OnDemand:
    """Row-level expressions over request fields and other features (`airport__delay_1h`), computed alike offline and
    online."""

    features: Mapping[str, Deferred]
    origin: Origin = field(default_factory=Origin.of_caller)


@declared(
    source=node,
    key=columns(),
    using=anything,
    columns=columns(),
    windows=durations(),
    ttl=optional(positive_duration),
    resolution=optional(duration),
    order_by=optional(column),
    closed=word("left", "both"),
    grace=duration,
    assume_known=anything,
    features=mapping(calculation(Aggregate, Windowed, By)),
    **META,
)
def feature_view(
    source: NodeRef,
    *,
    key: str | Sequence[str] = (),
    using: FeatureView | ViewUse | Sequence[FeatureView | ViewUse] = (),
    columns: Sequence[str] = (),
    windows: str | Sequence[str] = (),
    ttl: str | None = None,
    resolution: str | None = None,
    order_by: str | None = None,
    closed: Literal["left", "both"] = "left",
    grace: str = "1d",
    assume_known: Mapping[str, str] | None = None,
    name: str | None = None,
    owner: str | None = None,
    description: str | None = None,
    **features: Reduction,
) -> FeatureView:
    """Declare a feature view over a source, stream or table.

    `columns` are served as their latest values. Every additional keyword is a feature: an Ibis reduction or one of
    Mainstem's reductions (`ms.last_k`, `ms.ewma`, …). It is computed over each of `windows` and named `feature_window`.
    Features of the views in `using` are columns too, such as `_.airport__delay_1h`; each row looks up its own.
    `assume_known` maps a column of the source to a reason: this view then treats the column as always known, offline
    and online. Raises `DefinitionError` for a view with neither columns nor features, for a setting without effect, and
    for a column without a reason.
    """
    columns, windows = names(columns), names(windows, "windows")
    _check_shape(columns, windows, features)
    if ttl is not None and features:
        raise refused(
            "`ttl` requires latest columns: windows already bound the age of events",
            ttl,
            "a view with columns=[…], or no ttl",
        )
    return FeatureView(
        source=source,
        key=names(key),
        using=_used(using),
        columns=columns,
        features=dict(features),
        windows=windows,
        ttl=ttl,
        resolution=resolution,
        order_by=order_by,
        closed=closed,
        grace=grace,
        assume_known=reasons(assume_known),
        name=name,
        owner=owner,
        description=description,
    )


def _check_shape(columns: Sequence[str], windows: Sequence[str], features: Mapping[str, Reduction]) -> None:
    if bool(columns) == bool(features):
        raise DefinitionError(
            "a feature view requires either latest columns or windowed reductions",
            where=str(Origin.of_caller()),
            hint='columns=["origin"], or windows=["1h"], delay=_.dep_delay.mean()',
        )
    if (windows and not features) or not (windows or all(map(has_windows, features.values()))):
        raise DefinitionError(
            "reductions require windows, and windows require reductions",
            where=str(Origin.of_caller()),
            hint='windows=["1h", "3h"], or ms.windowed(reduction, "1h") for one of them',
        )


@declared(features=mapping(expression(), at_least=1))
def on_demand(**features: Deferred) -> OnDemand:
    """Declare features that are computed for each request, such as `busy=_.airport__departures_1h > 40`."""
    return OnDemand(features=dict(features))


@dataclass(frozen=True)
class AllColumns:
    """All columns of a model's examples, but those that it does not learn from."""


FeatureUse = FeatureView | ViewUse | OnDemand | AllColumns | str
"""A feature of `ms.model(features=[…])`. A text names a request field."""


def use(feature: Any) -> ViewUse:
    """Return a view as a model uses it: by its own key, unless `.on()` names other columns."""
    return feature if isinstance(feature, ViewUse) else ViewUse(view=feature, on=feature.key)


def uses_of(features: Sequence[FeatureUse] | Literal["all"]) -> tuple[FeatureUse, ...]:
    """Return the features of a model as a tuple. Raises `DefinitionError` if one of them is not a feature."""
    if isinstance(features, str) and features == "all":
        return (AllColumns(),)
    expected = 'a list of views, ms.on_demand(…), and names of request fields; or "all"'
    listed = several(features)
    if listed is None:
        raise refused("`features` must be a list", features, expected, hint="features=[…]")
    for each in listed:
        if not isinstance(each, (str, FeatureView, ViewUse, OnDemand)):
            hint = "ms.feature_view(…, columns=[…]) serves its columns as features" if isinstance(each, Node) else None
            raise refused("this is not a feature", each, expected, hint)
    return listed


def _used(using: Any) -> tuple[ViewUse, ...]:
    found = several(using)
    views = (using,) if found is None else found
    for each in views:
        if not isinstance(each, (FeatureView, ViewUse)):
            raise refused(
                "`using` must be feature views", each, "a view itself, or VIEW.on(…), or several", "using=place"
            )
    return tuple(map(use, views))
