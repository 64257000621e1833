"""Models: what is predicted, when, and from which features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mainstem.nodes.base import Deferred, Node, NodeRef, reasons, refused, several
from mainstem.nodes.candidates import candidates_of, some_candidates
from mainstem.nodes.declared import META, declared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.engineering import Engineer, Selection, engineers, engineers_of, selection, selection_of
from mainstem.nodes.features import FeatureUse, uses_of
from mainstem.nodes.forecasts import check_forecast, horizons_of, longest, some_horizons
from mainstem.nodes.kinds import (
    a,
    anything,
    boolean,
    columns,
    distinct,
    duration,
    expression,
    integer,
    is_number,
    mapping,
    node,
    number,
    optional,
    positive_duration,
    word,
)
from mainstem.nodes.metrics import OwnMetric, name_of, name_or_own
from mainstem.nodes.outcomes import Outcome
from mainstem.nodes.prepare import Step, steps, steps_of
from mainstem.nodes.sampling import Resample, Sampling, class_weights, plain_weights
from mainstem.nodes.thresholds import Threshold

Task = Literal["binary", "multiclass", "regression", "count", "quantile", "ranking"]

CLASSES: tuple[Task, ...] = ("binary", "multiclass")
"""The tasks whose target is a class. That of the others is a number."""

WIDE: tuple[Task, ...] = ("multiclass", "quantile")
"""The tasks with several scores for each row, which have names."""

Calibrate = Literal["auto", "none", "isotonic", "sigmoid", "temperature"]

USUAL_TEST = 0.2
"""The share of the test, unless it is declared."""

USUAL_GAP = "1d"
"""How long outcomes take, unless it is declared."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(Node):
    """A model of `target` for the rows of `examples` at `prediction_time`, from `features`.

    Without `prediction_time`, rows have no order, and no leak is found by time. `test` is the share of the latest
    labelled examples (0.2), or a duration (`60d`), that is kept for the final measurement; None follows the number of
    rows. `target` may be an `Outcome`, which takes time. `gap` is the time until outcomes are known, at least that of
    the `Outcome`; it is left out between training and test. Unless it is `gap_declared`, it is longer if the target's
    columns are known later. `groups` are values whose rows stay together. `split` says of each row where it belongs,
    `weight` how much it counts in a fit. `window` limits how far back each fold learns. `candidates` are names,
    algorithms with settings and estimators; None for the usual ones. `monotone` says of inputs whether scores rise (1)
    or fall (-1) with them. `threshold` turns the score of a binary model into a decision. `slices` are inputs whose
    parts are measured apart. `own_metric` is what `metric` names, if the user wrote it. `also_measure` are further
    metrics, which do not judge. `tune` is the budget of a search for settings: a number of trials, or a duration.
    `ensemble` lets it combine what it tried. `calibrate` is how probabilities are corrected. `quantiles` are the levels
    that a quantile model answers, ascending. `query` is equal for rows that are ranked together. `sampling` says which
    rows each fit learns from. A model with `horizons` forecasts the target of the row of the same `series` that is so
    much later, and its example is a row and a horizon. `prepare` are the steps of inputs that the algorithm does not
    choose. `engineer` are features that each fit makes of the inputs, and `select` says which inputs it leaves out;
    None leaves both to a search. `jobs` is the number of processes of a search. Its result does not depend on it.
    """

    examples: NodeRef
    target: Deferred | Outcome
    features: tuple[FeatureUse, ...]
    prediction_time: Deferred | None = None
    groups: Deferred | None = None
    split: Deferred | None = None
    weight: Deferred | None = None
    metric: str | None = None
    task: Task | None = None
    candidates: tuple[Any, ...] | None = None
    test: float | str | None = None
    gap: str = USUAL_GAP
    gap_declared: bool = False
    window: str | None = None
    folds: int = 3
    seed: int = 0
    monotone: Mapping[str, int] = field(default_factory=dict)
    assume_known: Mapping[str, str] = field(default_factory=dict)
    retrain: Literal["definition", "data"] = "definition"
    own_metric: OwnMetric | None = None
    threshold: Threshold | float | None = None
    slices: tuple[tuple[str, ...], ...] = ()
    tune: int | str | None = None
    ensemble: bool = True
    calibrate: Calibrate = "auto"
    quantiles: tuple[float, ...] = ()
    query: Deferred | None = None
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    horizons: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    prepare: Mapping[str, Step] = field(default_factory=dict)
    engineer: tuple[Engineer, ...] | None = None
    select: Selection | Literal["none"] | None = None
    jobs: int = 1
    also_measure: tuple[str | OwnMetric, ...] = ()

    @property
    def measured_also(self) -> tuple[str, ...]:
        """The names of the further metrics."""
        return tuple(name_of(each) for each in self.also_measure)

    @property
    def own_metrics(self) -> tuple[OwnMetric, ...]:
        """The metrics that the user wrote."""
        return tuple(each for each in (self.own_metric, *self.also_measure) if isinstance(each, OwnMetric))


def _trials_or_duration(name: str, value: Any) -> None:
    """Require the budget of a search: a number of trials, or a duration."""
    if isinstance(value, str) and value.strip().isdigit():
        raise refused(
            f"`{name}` has an invalid value",
            value,
            f'{name}={value.strip()} trials, or a time, {name}="{value.strip()}min"',
        )
    if isinstance(value, str):
        positive_duration(name, value)
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise refused(
            f"`{name}` has an invalid value", value, 'a duration ("10min"), or a number of trials of at least 1'
        )


def _gap(given: str | None, target: Any, horizons: Sequence[str]) -> str:
    """Return how long outcomes take: as declared, and at least as long as an `Outcome` or the longest horizon does."""
    if horizons:
        ahead = longest(horizons)
        if given is not None and microseconds(given) < microseconds(ahead):
            what = "`gap` is shorter than the longest horizon"
            raise refused(what, given, f'at least "{ahead}": labels take that long', "leave out `gap`")
        return ahead if given is None else given
    if not isinstance(target, Outcome):
        return USUAL_GAP if given is None else given
    if given is not None and microseconds(given) < target.micros:
        raise refused("`gap` is shorter than the outcome takes", given, f'at least "{target.after}"', "leave out `gap`")
    return target.after if given is None else given


def _share_or_duration(name: str, value: Any) -> None:
    """Require the size of the test: a share, or a duration."""
    (positive_duration if isinstance(value, str) else number(0, 1))(name, value)


def _direction(name: str, value: Any) -> None:
    """Require how scores follow an input: 1 if they rise with it, −1 if they fall."""
    if isinstance(value, bool) or value not in (1, -1):
        raise refused(f"`{name}` has an invalid value", value, "1 if scores rise with the input, -1 if they fall")


def _judge(name: str, value: Any) -> None:
    """Require one metric: its name, or one's own."""
    if several(value) is not None:
        what = f"`{name}` is one metric, which candidates are compared by"
        raise refused(what, value, f'{name}="f1"', "also_measure=[…] measures further ones")
    name_or_own(name, value)


def _names_or_own(name: str, value: Any) -> None:
    """Require names of metrics, or one's own, each once."""
    found = several(value)
    if found is None or isinstance(value, Mapping):
        raise refused(f"`{name}` must be a list", value, f'{name}=["recall_5", my_metric]')
    for each in found:
        name_or_own(name, each)
    distinct(name, tuple(name_of(each) for each in found))


def _score_or_rule(name: str, value: Any) -> None:
    """Require a threshold: a probability, or a rule that sets it."""
    if not isinstance(value, Threshold):
        (number(0, 1) if is_number(value) else a(Threshold, 'ms.threshold("precision >= 0.8"), or a probability'))(
            name, value
        )


def _levels(name: str, value: Any) -> None:
    """Require ascending levels between 0 and 1."""
    found = several(value)
    if not found or any(not is_number(each) or not 0 < each < 1 for each in found) or list(found) != sorted(set(found)):
        raise refused(f"`{name}` must be ascending levels above 0 and below 1", value, f"{name}=[0.1, 0.5, 0.9]")


def _task_of(task: Task | None, quantiles: Sequence[float] | None, query: Deferred | None) -> Task | None:
    """Return the task that is declared: by itself, by `quantiles` or by `query`. Raises `DefinitionError` if they
    differ."""
    given: dict[Task, bool] = {"quantile": bool(quantiles), "ranking": query is not None}
    asked = [each for each, is_given in given.items() if is_given or task == each]
    if not asked:
        return task
    if len(asked) == 1 and given[asked[0]] and task in (None, asked[0]):
        return asked[0]
    got = f"task={task!r}, quantiles={quantiles!r}, query={query!r}"
    raise refused(
        "the task does not agree with `quantiles` and `query`",
        got,
        'quantiles=[0.1, 0.5, 0.9], or query="session" for a ranking, or neither',
    )


def _crossings(name: str, value: Any) -> None:
    """Require names of inputs, or tuples of names."""
    found = _listed(value)
    if found is None or isinstance(value, Mapping):
        raise refused(f"`{name}` must be a list", value, f'{name}=["country", ("country", "channel")]')
    for each in found:
        columns(at_least=1, of="slices")(name, each)
    distinct(name, tuple(_crossing(each) for each in found))


def _listed(value: Any) -> tuple[Any, ...] | None:
    return (value,) if isinstance(value, str) else several(value)


def _crossing(each: str | Sequence[str]) -> tuple[str, ...]:
    return (each,) if isinstance(each, str) else tuple(each)


@declared(
    examples=node,
    target=expression(Outcome),
    features=anything,
    prediction_time=optional(expression()),
    groups=optional(expression()),
    split=optional(expression()),
    weight=optional(expression()),
    metric=optional(_judge),
    also_measure=_names_or_own,
    task=optional(word(*get_args(Task))),
    candidates=optional(some_candidates),
    test=optional(_share_or_duration),
    gap=optional(duration),
    window=optional(positive_duration),
    folds=integer(1),
    seed=integer(0),
    monotone=optional(mapping(_direction)),
    assume_known=anything,
    retrain=word("definition", "data"),
    threshold=optional(_score_or_rule),
    slices=_crossings,
    tune=optional(_trials_or_duration),
    ensemble=boolean,
    calibrate=word(*get_args(Calibrate)),
    quantiles=optional(_levels),
    query=optional(expression()),
    class_weight=optional(class_weights),
    resample=optional(word(*get_args(Resample))),
    half_life=optional(positive_duration),
    max_rows=optional(integer(20)),
    horizons=optional(some_horizons),
    series=columns(of="columns of `series`"),
    prepare=optional(steps),
    engineer=optional(engineers),
    select=optional(selection),
    jobs=integer(1, 64),
    meta=META,
)
def model(
    examples: NodeRef,
    *,
    target: Deferred | Outcome,
    features: Sequence[FeatureUse] | Literal["all"],
    prediction_time: Deferred | None = None,
    groups: Deferred | None = None,
    split: Deferred | None = None,
    weight: Deferred | None = None,
    metric: str | OwnMetric | None = None,
    also_measure: Sequence[str | OwnMetric] = (),
    task: Task | None = None,
    candidates: Sequence[Any] | Any | None = None,
    test: float | str | None = None,
    gap: str | None = None,
    window: str | None = None,
    folds: int = 3,
    seed: int = 0,
    monotone: Mapping[str, int] | None = None,
    assume_known: Mapping[str, str] | None = None,
    retrain: Literal["definition", "data"] = "definition",
    threshold: Threshold | float | None = None,
    slices: str | Sequence[str | Sequence[str]] = (),
    tune: int | str | None = None,
    ensemble: bool = True,
    calibrate: Calibrate = "auto",
    quantiles: Sequence[float] | None = None,
    query: Deferred | None = None,
    class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
    resample: Resample | None = None,
    half_life: str | None = None,
    max_rows: int | None = None,
    horizons: str | Sequence[str] | None = None,
    series: str | Sequence[str] | None = None,
    prepare: Mapping[str, str | Step] | None = None,
    engineer: Engineer | Sequence[Engineer] | None = None,
    select: Literal["auto", "none"] | Selection | None = None,
    jobs: int = 1,
    **meta: Any,
) -> Model:
    """Declare a model.

    The task is inferred from the target's type unless given: boolean → binary, text → multiclass, number → regression.
    `task="count"` is for whole numbers of at least 0; it is never inferred. `quantiles=[0.1, 0.5, 0.9]` are levels: the
    model answers a number for each, that so large a share of the targets is at or below. `query="session"` is equal for
    rows that are ranked together: the model learns their order by grade, from 0 on.
    Each fit, also inside folds, learns from at most `max_rows`; rows that are `half_life` older count half as much;
    `class_weight` says how much classes count, and `resample` draws equally many of each (`"under"`, `"over"`).
    Probabilities are corrected back to how often classes occur. Metrics count each row once.
    `candidates` are names of algorithms, algorithms with settings (`ms.lightgbm(num_leaves=63)`) and estimators of
    scikit-learn. `features="all"` are all columns of the examples but the key and those that other settings read.
    `retrain="data"` trains a new challenger when the examples, or the sources of the features, change.
    Candidates are compared by `metric`; those of `also_measure` are measured beside the usual ones of the task.
    `threshold` is a probability, or a rule that sets it on validation rows (`ms.threshold(…)`); endpoints decide by it
    unless they declare their own. `slices` are inputs, or tuples of them, whose parts the report measures apart.
    `gap` is how long outcomes take: by default that of `target=ms.outcome(…)` or the longest horizon, else a day; or
    longer, if the target's columns are known later.
    `horizons=["1d", "7d"]` forecast: the label of a row is the target of the row that is so much later, of the same
    `series` (columns; without them all rows are one series). Inputs are as of the row's `prediction_time`.
    `tune` searches for settings: for a time (`"10min"`), or a number of trials. What was tried is combined if that is
    better, unless `ensemble=False`. Probabilities are calibrated if that is better, unless `calibrate="none"`.
    `prepare={"area": "log", "city": ms.prepare.target()}` are steps of inputs, fitted inside each fold; for the others
    the algorithm chooses. `engineer=[ms.ratios(), ms.group_statistics(by="city")]` makes features of inputs, and
    `select="auto"` or `ms.select(…)` leaves inputs out, both inside each fold. With `tune` and without these, a search
    tries some of both; `engineer=[]` and `select="none"` forbid it. Up to `jobs` processes fit in a search: with a
    number of trials it finds the same, to the byte.

    Raises `DefinitionError` for an invalid feature, for an invalid value of a parameter, for a `gap` that is shorter
    than the outcome takes, for horizons without `prediction_time`, and for an `assume_known` without a reason.
    """
    ahead = horizons_of(horizons)
    kept_apart = check_forecast(ahead, series, timed=prediction_time is not None, target=target, query=query)
    return Model(
        examples=examples,
        target=target,
        features=uses_of(features),
        prediction_time=prediction_time,
        groups=groups,
        split=split,
        weight=weight,
        metric=None if metric is None else name_of(metric),
        own_metric=metric if isinstance(metric, OwnMetric) else None,
        also_measure=tuple(also_measure),
        task=_task_of(task, quantiles, query),
        candidates=candidates_of(candidates),
        test=test,
        gap=_gap(gap, target, ahead),
        gap_declared=gap is not None,
        window=window,
        folds=folds,
        seed=seed,
        monotone=dict(monotone or {}),
        assume_known=reasons(assume_known),
        retrain=retrain,
        threshold=threshold,
        slices=tuple(_crossing(each) for each in _listed(slices) or ()),
        tune=tune,
        ensemble=ensemble,
        calibrate=calibrate,
        query=query,
        sampling=Sampling(plain_weights(class_weight), resample, half_life, max_rows),
        quantiles=tuple(float(each) for each in quantiles or ()),
        horizons=ahead,
        series=kept_apart,
        prepare=steps_of(prepare),
        engineer=engineers_of(engineer),
        select=selection_of(select),
        jobs=jobs,
        **meta,
    )
