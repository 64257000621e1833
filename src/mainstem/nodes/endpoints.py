"""Endpoints: a live contract bound to a champion; and the monitors that watch it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mainstem.nodes.base import Node, refused
from mainstem.nodes.declared import META, declared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.kinds import anything, integer, number, optional, positive_duration, text, values_of, word
from mainstem.nodes.models import Model


@dataclass(frozen=True, eq=False)
class Monitor:
    """A rule over predictions and outcomes that gives a verdict."""


@dataclass(frozen=True, eq=False)
class Drift(Monitor):
    """The inputs are distributed as in training. `alpha` bounds the false discovery rate across inputs; an input
    must also have moved by `effect` (population stability index) to count."""

    alpha: float = 0.01
    effect: float = 0.1
    min_rows: int = 500


@dataclass(frozen=True, eq=False)
class Performance(Monitor):
    """The metric on joined outcomes stays at or above `floor`, judged by the upper end of its interval."""

    floor: float
    metric: str | None = None
    min_rows: int = 500


@dataclass(frozen=True, eq=False, kw_only=True)
class Endpoint(Node):
    """A live contract for predictions of `model`, and what watches it; `latency` is what an answer may take."""

    model: Model
    monitors: tuple[Monitor, ...] = ()
    promote: Literal["manual", "gate"] = "manual"
    threshold: float | None = None
    latency: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, (Model, str)):
            raise refused("an endpoint requires a model", self.model, "a model declared with ms.model(…)")

    @property
    def budget(self) -> float | None:
        """`latency` in seconds."""
        return None if self.latency is None else microseconds(self.latency) / 1_000_000


@declared(alpha=number(0, 1), effect=number(0), min_rows=integer(1))
def drift(*, alpha: float = 0.01, effect: float = 0.1, min_rows: int = 500) -> Drift:
    """Watch every input's distribution against the training snapshot."""
    return Drift(alpha, effect, min_rows)


@declared(floor=number(), metric=optional(text), min_rows=integer(1))
def performance(floor: float, *, metric: str | None = None, min_rows: int = 500) -> Performance:
    """Watch the metric (default: the model's) on joined outcomes."""
    return Performance(floor, metric, min_rows)


@declared(
    model=anything,
    monitors=values_of(Monitor, expected="ms.drift(), ms.performance(0.4)"),
    promote=word("manual", "gate"),
    threshold=optional(number()),
    latency=optional(positive_duration),
    meta=META,
)
def endpoint(
    model: Model,
    *,
    monitors: Sequence[Monitor] = (),
    promote: Literal["manual", "gate"] = "manual",
    threshold: float | None = None,
    latency: str | None = None,
    **meta: Any,
) -> Endpoint:
    """Declare an endpoint, answered at `POST /predict/NAME`.

    `promote="gate"` ships a challenger by itself when it is measurably better; `threshold` turns a score into
    a decision (`score >= threshold`). `latency="5ms"` is how long the server may take from a request it has read to its
    answer: features that only the engine can compute are refused when the project loads, and `/metrics` counts the
    answers that kept it. Raises `DefinitionError` for what is no model, and for a latency that is no duration.
    """
    return Endpoint(
        model=model, monitors=tuple(monitors), promote=promote, threshold=threshold, latency=latency, **meta
    )
