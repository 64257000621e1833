"""What is kept of a version's scores on rows that it has not seen: curves, effects, slices. Plain records for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mainstem.nodes.descriptions import Histogram
from mainstem.nodes.records import Measure


@dataclass(frozen=True)
class Curve:
    """Decisions by threshold, for one class against the rest: `score >= threshold`.

    At most a hundred thresholds are kept, from the highest. `fallout` is the false positive rate.
    """

    label: str
    rows: int
    positives: int
    thresholds: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    fallout: tuple[float, ...]


@dataclass(frozen=True)
class CalibrationBin:
    """Rows with similar scores: their mean score, and the rate of the class with its 95 % interval (Wilson)."""

    score: float
    rate: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Calibration:
    """How often a class occurs where it is predicted with some probability; bins have about equally many rows."""

    label: str
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Reached:
    """The `share` of targets at or below a quantile, or between two, which should be `level`."""

    label: str
    level: float
    share: Measure


@dataclass(frozen=True)
class Past:
    """The mean absolute error of past values as forecasts, on the `rows` that have one. `skill` is 1 − the error of the
    version on these rows / `error`; None if `error` is 0."""

    rows: int
    error: float
    skill: float | None


@dataclass(frozen=True)
class Horizon:
    """The test rows of one horizon of a forecast: the metric, and the mean absolute `error` beside that of the past.

    `last` is the value of the example's own row, `season` that of the row whole weeks before the time that is forecast.
    """

    horizon: str
    rows: int
    measure: Measure | None
    error: Measure
    last: Past | None
    season: Past | None


@dataclass(frozen=True)
class ScoreHistogram:
    """How often each score occurs among the rows of one true class, or of all."""

    label: str
    rows: int
    histogram: Histogram


@dataclass(frozen=True)
class ResidualBin:
    """Rows with similar predicted values: the mean prediction, and quantiles (10, 50, 90 %) of target − prediction."""

    predicted: float
    low: float
    middle: float
    high: float
    rows: int


@dataclass(frozen=True)
class Residuals:
    """Target − prediction of a regression: its histogram, and its spread by predicted value."""

    histogram: Histogram
    bins: tuple[ResidualBin, ...]


@dataclass(frozen=True)
class Importance:
    """How much worse the metric becomes when an input's values are shuffled among the rows."""

    input: str
    loss: Measure


@dataclass(frozen=True)
class DependenceLine:
    """Mean scores of one class, or of the only score; and the 10 % and 90 % quantiles over the rows."""

    label: str
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Dependence:
    """Partial dependence: the scores of a sample of rows when one input is set to each of `values` in turn."""

    input: str
    values: tuple[float | str, ...]
    lines: tuple[DependenceLine, ...]


@dataclass(frozen=True)
class Block:
    """The metric in one block of time of the test, and that of the naive baseline."""

    start: datetime
    end: datetime
    measure: Measure
    naive: float | None


@dataclass(frozen=True)
class Slice:
    """A part of the test rows. `measure` is the metric in it, and `rest` that of the other rows.

    `loss_p` says how likely so high a loss is by chance, `bias_p` so large a `bias` (the mean of target − score); both
    are adjusted for all slices that were tested. `found` names what was found at a false discovery rate of 5 %.
    """

    where: str
    rows: int
    measure: Measure | None
    rest: float | None
    loss_p: float
    bias: float | None
    bias_p: float | None
    found: tuple[Literal["loss", "bias"], ...] = ()


@dataclass(frozen=True)
class Slices:
    """Slices that were declared, and those that a search found among `tested`, of so many `inputs`."""

    declared: tuple[Slice, ...] = ()
    found: tuple[Slice, ...] = ()
    tested: int = 0
    inputs: int = 0


@dataclass(frozen=True)
class Decisions:
    """A threshold, and the decisions by it on the test rows. `rule` says how it was set, on `validation` rows.

    `expected` is what the rule's measures were there. `measured` are those of the test rows: first what the rule asks
    for (the mean `cost` of a decision, or the measure that it bounds). `half` are the same at ½. A cross-validated
    version sets the threshold anew for each fold, and measures each fold by its own.
    """

    threshold: float
    rule: str
    validation: int
    expected: Mapping[str, float]
    measured: Mapping[str, Measure]
    confusion: tuple[tuple[int, ...], ...]
    half: Mapping[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """A candidate in the comparison: its mean over the folds with an interval, each fold, and the seconds of its fits
    and scores.

    A fold in which the metric is undefined is left out.
    """

    candidate: str
    mean: Measure | None
    folds: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Trial:
    """Settings that a search tried: the metric's mean over the folds that were fitted, and the seconds of its fits and
    scores.

    `state` is `complete`, `stopped` (clearly behind after its first folds) or `failed`.
    """

    name: str
    settings: Mapping[str, Any]
    state: Literal["complete", "stopped", "failed"]
    value: float | None
    seconds: float


@dataclass(frozen=True)
class Search:
    """A search for settings. `budget` is as declared, `seconds` is what the search took, `ended` says why it ended.

    `trials` are in the order in which they were tried.
    """

    budget: str
    seconds: float
    ended: str
    trials: tuple[Trial, ...]
    higher_is_better: bool = True


@dataclass(frozen=True)
class LearningPoint:
    """The metric on the validation rows of the last fold when so many `rows` are learned from."""

    rows: int
    measure: Measure


@dataclass(frozen=True)
class Span:
    """A part of the rows on the time axis: `train`, `gap` or `test` of the `line` (the version, or a fold)."""

    line: str
    part: Literal["train", "gap", "test"]
    start: datetime
    end: datetime
    rows: int


@dataclass(frozen=True)
class Cost:
    """What a prediction costs: microseconds for a single row and per row of a batch, and bytes of the model."""

    single: float
    batch: float
    bytes: int


@dataclass(frozen=True)
class Evaluation:
    """Everything that is kept. `resampled` says what the intervals are from. `permuted` rows were shuffled. `inputs` is
    how many the model has; the most important ones were shuffled and searched for slices."""

    rows: int
    resampled: str
    timeline: tuple[Span, ...] = ()
    leaderboard: tuple[Standing, ...] = ()
    search: Search | None = None
    learning: tuple[LearningPoint, ...] = ()
    curves: tuple[Curve, ...] = ()
    calibration: tuple[Calibration, ...] = ()
    histograms: tuple[ScoreHistogram, ...] = ()
    residuals: Residuals | None = None
    permuted: int = 0
    importances: tuple[Importance, ...] = ()
    dependence: tuple[Dependence, ...] = ()
    stability: tuple[Block, ...] = ()
    slices: Slices = field(default_factory=Slices)
    decisions: Decisions | None = None
    cost: Cost | None = None
    reached: tuple[Reached, ...] = ()
    horizons: tuple[Horizon, ...] = ()
    inputs: int = 0
