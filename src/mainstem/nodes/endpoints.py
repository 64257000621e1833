"""Endpoints: live prediction contracts, bound to a champion; and the monitors that watch them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mainstem.errors import close_matches
from mainstem.nodes.base import Deferred, Node, NodeRef, refused
from mainstem.nodes.challengers import Canary, Challenger
from mainstem.nodes.decisions import Best, Cheapest, Decide, Top
from mainstem.nodes.declared import META, declared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.exploring import Epsilon
from mainstem.nodes.kinds import (
    a,
    anything,
    calculation,
    column,
    fraction,
    integer,
    mapping,
    node,
    number,
    optional,
    positive_duration,
    text,
    values_of,
    word,
)
from mainstem.nodes.latencies import Latency
from mainstem.nodes.metrics import OwnMetric, name_of, name_or_own
from mainstem.nodes.models import Model
from mainstem.nodes.offers import Candidates, Listed, Offer
from mainstem.nodes.overrides import FALLBACK

MATURE = 0.5
"""The share of a day's outcomes that must be known before the day is judged, unless a monitor says another."""


@dataclass(frozen=True, eq=False)
class Monitor:
    """A rule over predictions and outcomes that gives a verdict."""


@dataclass(frozen=True, eq=False)
class Drift(Monitor):
    """A test that the inputs are distributed as in training.

    `alpha` bounds the false discovery rate across inputs. An input counts only if it also moved by `effect` (population
    stability index).
    """

    alpha: float = 0.01
    effect: float = 0.1
    min_rows: int = 500


@dataclass(frozen=True, eq=False)
class Performance(Monitor):
    """A test that the metric on joined outcomes stays at or above `floor`. The upper end of its interval decides.

    Predictions of a day count when the outcomes of at least the share `mature` of them are known. `own_metric` is what
    `metric` names, if the user wrote it.
    """

    floor: float
    metric: str | None = None
    min_rows: int = 500
    mature: float = MATURE
    own_metric: OwnMetric | None = None


@dataclass(frozen=True, eq=False)
class Calibration(Monitor):
    """A test that scores mean what they say, on joined outcomes: the error is at most `tolerance`.

    Of classes it is the expected calibration error, of quantiles the coverage error. The lower end of the interval
    decides.
    """

    tolerance: float = 0.05
    min_rows: int = 500
    mature: float = MATURE


@dataclass(frozen=True, eq=False)
class Value(Monitor):
    """A test that decisions are worth at least `floor` on average. The upper end of the interval decides.

    `worth` is what a decision was worth; without it, the endpoint's rule says, with the outcome in place of the score.
    A rule that takes the cheapest option is compared with the option `against`, by default the first.
    """

    floor: float
    worth: Deferred | None = None
    against: str | None = None
    min_rows: int = 500
    mature: float = MATURE


@dataclass(frozen=True, eq=False, kw_only=True)
class Endpoint(Node):
    """A live contract for predictions of `model`, and its monitors. `latency` is the time limit of an answer.
    Once it has passed, `otherwise` is the decision, if it is given.

    A score becomes a decision by `threshold` or by `decide`. A rule that chooses has `candidates`, and a `fallback` for
    requests that it cannot choose for. `outcomes_by` is the column of the examples that has the id of a prediction.
    Each `shadow` scores what the champion answers. A `canary` answers a share of requests. With `on`, the endpoint is
    asked by the events of a stream.
    """

    model: Model
    monitors: tuple[Monitor, ...] = ()
    promote: Literal["manual", "gate"] = "manual"
    threshold: float | None = None
    latency: str | None = None
    otherwise: bool | str | None = None
    decide: Decide | None = None
    candidates: Offer | None = None
    fallback: Candidates | Listed | Mapping[str, float] | None = None
    explore: Epsilon | None = None
    outcomes_by: str | None = None
    shadow: tuple[Challenger, ...] = ()
    canary: Canary | None = None
    on: NodeRef | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, (Model, str)):
            raise refused("an endpoint requires a model", self.model, "a model declared with ms.model(…)")
        if self.decide is not None and self.threshold is not None:
            raise refused("an endpoint decides in one way", "`threshold` and `decide`", "one of them")
        self._check_choice()
        self._check_otherwise()
        self._check_challengers()
        for name, given in (("candidates", self.candidates), ("canary", self.canary)):
            if self.on is not None and given is not None:
                raise refused(f"`on` does not work with `{name}`", given, "one of them")

    def _check_choice(self) -> None:
        chooses = isinstance(self.decide, (Best, Top))
        if chooses and self.candidates is None:
            raise refused("ms.best and ms.top choose among candidates", None, "candidates=ms.grid(…)")
        if self.candidates is not None and not chooses:
            raise refused("`candidates` need a rule that chooses", self.decide, "decide=ms.best(…) or ms.top(…)")
        if self.explore is not None and not chooses:
            raise refused("`explore` requires candidates", self.explore, "candidates=… and decide=…")
        if self.fallback is not None and not chooses:
            raise refused("`fallback` requires candidates", self.fallback, "candidates=… and decide=…")

    def _check_otherwise(self) -> None:
        """Require that the declared answer to late requests is one that the endpoint may give."""
        if self.otherwise is None:
            return
        answers: tuple[bool | str, ...] = ()
        if isinstance(self.decide, (Best, Top)):
            answers = () if self.fallback is None else (FALLBACK,)
        elif isinstance(self.decide, Cheapest):
            answers = tuple(self.decide.options)
        elif self.threshold is not None or getattr(self.model, "threshold", None) is not None:
            answers = (True, False)
        if (type(self.otherwise), self.otherwise) not in {(type(each), each) for each in answers}:
            what = "`otherwise` is not an answer of the endpoint"
            decides = "an endpoint with decide=ms.cheapest(…), with a threshold, or with candidates= and fallback="
            near = close_matches(str(self.otherwise), [str(each) for each in answers])
            raise refused(what, self.otherwise, ", ".join(map(repr, answers)) or decides, near)

    def _check_challengers(self) -> None:
        if len({each.model for each in self.shadow}) < len(self.shadow):
            raise refused("a model has one challenger", f"{len(self.shadow)} shadows", "a shadow of each model")

    @property
    def challenged(self) -> tuple[Model, ...]:
        """The models whose challengers the endpoint declares as a shadow or a canary, its own model first."""
        own = (self.model,) if self.canary is not None else ()
        return tuple(dict.fromkeys((*own, *(each.model for each in self.shadow))))

    @property
    def budget(self) -> float | None:
        """The `latency` in seconds, or None."""
        return None if self.latency is None else microseconds(self.latency) / 1_000_000


@declared(alpha=number(0, 1), effect=number(0), min_rows=integer(1))
def drift(*, alpha: float = 0.01, effect: float = 0.1, min_rows: int = 500) -> Drift:
    """Watch every input's distribution against the training snapshot."""
    return Drift(alpha, effect, min_rows)


@declared(floor=number(), metric=optional(name_or_own), min_rows=integer(1), mature=fraction)
def performance(
    floor: float, *, metric: str | OwnMetric | None = None, min_rows: int = 500, mature: float = MATURE
) -> Performance:
    """Watch the metric (default: the model's) on joined outcomes: one of Mainstem, or one's own.

    The predictions of a day are judged together, when the outcomes of at least the share `mature` of them are known.
    """
    own = metric if isinstance(metric, OwnMetric) else None
    return Performance(floor, None if metric is None else name_of(metric), min_rows, mature, own)


@declared(tolerance=number(0, 1), min_rows=integer(1), mature=fraction)
def calibration(tolerance: float = 0.05, *, min_rows: int = 500, mature: float = MATURE) -> Calibration:
    """Watch whether scores mean what they say: of 100 requests with the score 0.2, 20 should turn out true.

    Of classes, the monitor fails if the expected calibration error on joined outcomes is above `tolerance`; of
    quantiles, if the coverage error is: how far the share of outcomes below each quantile is from its level. Other
    models have no such scores.
    """
    return Calibration(tolerance, min_rows, mature)


@declared(floor=number(), worth=optional(calculation()), against=optional(text), min_rows=integer(1), mature=fraction)
def value(
    floor: float,
    *,
    worth: Deferred | None = None,
    against: str | None = None,
    min_rows: int = 500,
    mature: float = MATURE,
) -> Value:
    """Watch what decisions were worth, on average, given their outcomes.

    Without `worth`, the endpoint's rule is evaluated with the outcome in place of the score: of `ms.cheapest` what the
    decision cost less than the option `against` (by default the first one), of `ms.best` and `ms.top` the value of the
    chosen candidate. `worth` is an expression over request, features, `_.score`, `_.outcome` and `_.decision`.
    """
    return Value(floor, worth, against, min_rows, mature)


def _fallback(name: str, value: Any) -> None:
    if not isinstance(value, (Candidates, Listed)):
        mapping(number(), at_least=1)(name, value)


def _time_limit(name: str, value: Any) -> None:
    if not isinstance(value, Latency):
        positive_duration(name, value)


def _exploration(name: str, value: Any) -> None:
    if not isinstance(value, Epsilon):
        number(0, 1)(name, value)


@declared(
    model=anything,
    monitors=values_of(Monitor, expected="ms.drift(), ms.performance(0.4)"),
    promote=word("manual", "gate"),
    threshold=optional(number()),
    latency=optional(_time_limit),
    decide=optional(a(Decide, "decide=ms.cheapest(allow=_.score * _.amount, block=8)")),
    candidates=optional(a(Offer, 'ms.candidates(popular, key="movie") or ms.grid(price=ms.steps(5, 10, 0.5))')),
    fallback=optional(_fallback),
    explore=optional(_exploration),
    outcomes_by=optional(column),
    shadow=values_of(Challenger, expected="ms.challenger(fraud)"),
    canary=optional(a(Canary, 'canary=ms.canary(0.05, by="card")')),
    on=optional(node),
    meta=META,
)
def endpoint(
    model: Model,
    *,
    monitors: Sequence[Monitor] = (),
    promote: Literal["manual", "gate"] = "manual",
    threshold: float | None = None,
    latency: str | Latency | None = None,
    decide: Decide | None = None,
    candidates: Offer | None = None,
    fallback: Candidates | Listed | Mapping[str, float] | None = None,
    explore: float | Epsilon | None = None,
    outcomes_by: str | None = None,
    shadow: Sequence[Challenger] = (),
    canary: Canary | None = None,
    on: NodeRef | None = None,
    **meta: Any,
) -> Endpoint:
    """Declare an endpoint that answers `POST /predict/NAME`.

    `promote="gate"` promotes a challenger automatically if it is measurably better. `threshold` turns a score into a
    decision (`score >= threshold`); without it, the champion's threshold does, if its model declares one.
    `decide=ms.cheapest(…)` decides by expressions over request, features and score instead of a threshold.
    With `candidates=`, the server expands them for each request, and `decide=ms.best(…)` or `ms.top(…)` chooses. The
    `fallback`, candidates or constants, answers for an unknown entity and where no candidate is left.
    `explore=0.05`, or `ms.epsilon(…)`, gives the last place of 5 % of answers to a random candidate.
    Outcomes are joined by the key of the examples, or by `outcomes_by=`, the column of the examples that has the `id`
    of the prediction.
    `shadow=[ms.challenger(model)]` lets the newest version that is not the champion, of this or another model, score
    every request, too. It never changes an answer. `canary=ms.canary(0.05, by="card")` lets it answer a share of the
    requests. `mainstem compare` compares the two.
    `on=transactions`, a stream, lets its events ask: the answer to an event has features strictly before it, then the
    event is ingested, in one transaction with the log. The same event again gets the same answer.
    `latency="5ms"` limits the time between reading a request and answering it: the project does not load if a feature
    needs the engine, and `/metrics` counts the answers within the limit. With
    `latency=ms.latency("20ms", otherwise="review")`, a request that is not decided by then gets the declared decision.
    Raises `DefinitionError` if `model` is not a model, `latency` is not a positive duration, `otherwise` is not an
    answer of the endpoint, or both `threshold` and `decide` are given.
    """
    return Endpoint(
        model=model,
        monitors=tuple(monitors),
        promote=promote,
        threshold=threshold,
        latency=latency.within if isinstance(latency, Latency) else latency,
        otherwise=latency.otherwise if isinstance(latency, Latency) else None,
        decide=decide,
        candidates=candidates,
        fallback=dict(fallback) if isinstance(fallback, Mapping) else fallback,
        explore=explore if explore is None or isinstance(explore, Epsilon) else Epsilon(explore),
        outcomes_by=outcomes_by,
        shadow=tuple(shadow),
        canary=canary,
        on=on,
        **meta,
    )
