"""Evaluation: candidates are compared by cross-validation within the training rows, and the chosen one is measured
once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models import splits
from mainstem.models.algorithms import Candidate, candidates
from mainstem.models.algorithms.base import Estimator, Settings, work
from mainstem.models.data.rows import Examples, Scores
from mainstem.models.evaluation.fitting import fitted, scored, settled
from mainstem.models.metrics import METRICS, Metric, measured_for, measures
from mainstem.nodes.evaluations import Search
from mainstem.nodes.models import CLASSES
from mainstem.nodes.records import Measure

COMPARED_ON = 100_000
"""The maximum number of training rows for the comparison; later rows are sampled more. The final fit uses all rows.
Half as many find fewer rounds of boosting, and a log loss that is up to 2 % higher."""

DAY = 86_400_000_000
FEWEST_DAYS = 20

Report = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Fold:
    """A fold's rows, and what each candidate scored them. `weight` is how much it counts in a mean over folds."""

    past: Examples
    future: Examples
    scores: Mapping[str, Scores]
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """A candidate in a fold: the metric, its scores of the fold's future, what the fit found, and how long it took.

    `work` is about how many multiplications a score takes; 0 if it is unknown."""

    value: float
    scores: Scores
    settings: Settings
    seconds: float
    work: float = 0.0


Behind = Callable[[Sequence[Fold], Mapping[str, Sequence[Outcome]], Metric], Mapping[str, str]]
"""Returns which candidates are too far behind to win, by their outcomes in the folds so far, and why."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Candidates, the best mean first: the `scores` of each fold where defined, and the `settings` of a final fit.

    `means` are over these folds, by their weights. `folds` are what the scores are of, and `seconds` is the time of
    each candidate's fits and of their scores. `search` is what was searched, and `said` is what the card says about how
    the candidate was made.
    """

    ranked: tuple[Candidate, ...]
    scores: Mapping[str, tuple[float, ...]]
    settings: Mapping[str, Settings]
    rows: int
    folds: tuple[Fold, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    search: Search | None = None
    said: Mapping[str, str] = field(default_factory=dict)
    means: Mapping[str, float] = field(default_factory=dict)

    @property
    def chosen(self) -> str:
        """The name of the best candidate."""
        return self.ranked[0].name

    def led_by(
        self, first: Candidate, outcomes: Sequence[Outcome], said: Mapping[str, str], settings: Settings | None = None
    ) -> Comparison:
        """Return the comparison with another candidate that is preferred to the rest."""
        name = first.name
        return replace(
            self,
            ranked=(first, *(each for each in self.ranked if each.name != name)),
            scores={**self.scores, name: defined_of([one.value for one in outcomes])},
            means={**self.means, name: mean_of([one.value for one in outcomes], self.folds)},
            settings={**self.settings, name: settings or {}},
            folds=tuple(
                replace(fold, scores={**fold.scores, name: one.scores})
                for fold, one in zip(self.folds, outcomes, strict=True)
            ),
            seconds={**self.seconds, name: sum(one.seconds for one in outcomes)},
            said={**self.said, **said},
        )

    def only(self) -> Comparison:
        """Return the comparison with the best candidate alone to choose from."""
        return replace(self, ranked=self.ranked[:1])

    def without(self, names: Collection[str]) -> Comparison:
        """Return the comparison with other candidates to choose from. Their scores stay. What was said of a calibration
        was said of the best candidate."""
        said = dict(self.said)
        if self.chosen in names and not said.get("calibration", "none").startswith("none"):
            said["calibration"] = f"none: {self.chosen} cannot be deployed"
        return replace(self, ranked=tuple(each for each in self.ranked if each.name not in names), said=said)


def compare(
    train: Examples,
    asked: Sequence[Any],
    judge: Metric,
    *,
    folds: int,
    gap: str,
    report: Report,
    window: str | None = None,
    behind: Behind | None = None,
) -> Comparison:
    """Cross-validate the candidates, on folds of the same kind as the test: expanding by time, by group, stratified; or
    on the rows that the user set apart for it.

    After each fold but the last, those that are `behind` are not fitted any more. They rank after those that ran on all
    folds. Raises `ModelError` if no fold is usable.
    """
    sample, parts = divided(train, folds=folds, gap=gap, window=window)
    tried = candidates(asked)
    found: dict[str, list[Outcome]] = {each.name: [] for each in tried}
    ended: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        for each in tried:
            if each.name in ended:
                continue
            report(f"fold {number}/{len(parts)} {each.name} …")
            found[each.name].append(outcome(each, part, judge))
            report(f"fold {number}/{len(parts)} {each.name} {found[each.name][-1].value:.3f}")
        if behind is not None and number < len(parts):
            left = {name: outcomes for name, outcomes in found.items() if name not in ended}
            ended |= behind(parts[:number], left, judge)
    said = {f"{name} compared on": f"{len(found[name])} of {len(parts)} folds: {why}" for name, why in ended.items()}
    return replace(compared([(each, found[each.name]) for each in tried], sample, parts, judge), said=said)


def divided(train: Examples, *, folds: int, gap: str, window: str | None = None) -> tuple[Examples, tuple[Fold, ...]]:
    """Return the rows that candidates are compared on, and their folds. Raises `ModelError` if one is
    not usable.

    Of folds by time, the second counts twice as much as the first, the third three times: predictions follow the last.
    """
    sample = train.take(splits.latest(train.times, COMPARED_ON, train.seed, train.queries))
    parts = _parts(sample, folds, gap, window)
    found = []
    for number, part in enumerate(parts, 1):
        weight = float(number) if part.cut is not None else 1.0
        found.append(Fold(sample.take(part.train), sample.take(part.test), {}, weight))
        has_classes(found[-1].past, number, len(parts))
    return sample, tuple(found)


def outcome(candidate: Candidate, fold: Fold, judge: Metric, clock: Callable[[], float] = perf_counter) -> Outcome:
    """Fit a candidate on a fold's past, and score its future."""
    began = clock()
    found = fitted(candidate, fold.past)
    scores = scored(candidate.name, found, fold.future.rows, fold.past)
    seconds = clock() - began
    return Outcome(judge.value(fold.future.truth, scores), scores, found.settings, seconds, work(found))


def compared(
    found: Sequence[tuple[Candidate, Sequence[Outcome]]], sample: Examples, folds: Sequence[Fold], judge: Metric
) -> Comparison:
    """Return the comparison of candidates by their outcomes in each fold, the best mean first. Those without an outcome
    in the last folds come after the others."""
    scores = {each.name: [one.value for one in outcomes] for each, outcomes in found}
    best = _ranked(scores, folds, judge)
    return Comparison(
        tuple(sorted((each for each, _ in found), key=lambda each: best.index(each.name))),
        {name: defined_of(values) for name, values in scores.items()},
        {each.name: settled(each, [one.settings for one in outcomes], sample) for each, outcomes in found},
        len(sample),
        tuple(
            replace(fold, scores={each.name: own[number].scores for each, own in found if number < len(own)})
            for number, fold in enumerate(folds)
        ),
        {each.name: sum(one.seconds for one in outcomes) for each, outcomes in found},
        means={name: mean_of(values, folds) for name, values in scores.items()},
    )


def defined_of(values: Sequence[float]) -> tuple[float, ...]:
    """Return the values of the folds in which the metric is defined."""
    return tuple(value for value in values if value == value)


def fit(train: Examples, comparison: Comparison) -> Estimator:
    """Return the chosen candidate, fitted on all training rows."""
    return fitted(comparison.ranked[0], train, comparison.settings[comparison.chosen] or None)


def measured(examples: Examples, scores: Scores, judge: Metric, also: Sequence[str] = ()) -> dict[str, Measure]:
    """Return the usual metrics of the task, `judge` and `also`, as far as they are defined on these rows, with
    intervals.

    Whole days are resampled if possible, else whole groups if there are any.
    """
    judges = [METRICS[name] for name in measured_for(examples.task, judge.name, also)]
    found = measures(judges, examples.truth, scores, groups=units(examples), seed=examples.seed)
    return {name: m for name, m in found.items() if np.isfinite([m.value, m.low, m.high]).all()}


def resampled(examples: Examples) -> str:
    """Return what the bootstrap resamples, in words."""
    if days(examples.times) is not None:
        return "whole days"
    return "rows" if units(examples) is None else "whole groups"


FEWEST_GROUPS = 10
"""Whole groups below which the bootstrap tells little: it draws from few, again and again."""


def few_groups(examples: Examples) -> int | None:
    """Return how many whole groups the bootstrap resamples, if they are few; else None."""
    found = None if days(examples.times) is not None else units(examples)
    count = None if found is None else len(np.unique(found))
    return count if count is not None and count < FEWEST_GROUPS else None


def units(examples: Examples) -> NDArray[np.int64] | None:
    """Return the day or the group of each row, which the bootstrap resamples as wholes; None if it resamples rows."""
    found = days(examples.times)
    if found is not None:
        return found
    own = examples.groups if examples.units is None else examples.units
    return own if splits.repeated(own) else None


def days(times: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the UTC day of each row, or None if there are too few days to resample."""
    found = times // DAY
    return found if len(np.unique(found)) >= FEWEST_DAYS else None


def _parts(sample: Examples, folds: int, gap: str, window: str | None) -> list[splits.Split]:
    apart = sample.validation
    if apart is not None and apart.any():
        return [splits.Split(np.flatnonzero(~apart), np.flatnonzero(apart), np.empty(0, np.intp))]
    return splits.folds(
        sample.times,
        sample.y,
        count=folds,
        gap=gap,
        seed=sample.seed,
        groups=sample.groups,
        window=window,
        known=sample.known,
    )


def has_classes(past: Examples, number: int, folds: int) -> None:
    """Refuse to learn from one class, of counts from zeros alone, or from rows of weight 0. Raises `ModelError`."""
    y = past.y if past.weights is None else past.y[past.weights > 0]
    if not len(y):
        raise ModelError(
            "a fold has no row that counts",
            got=f"{len(past)} rows before fold {number}/{folds}, all of weight 0",
            hint="leave these rows out of the examples, or window= for the latest ones",
        )
    if past.task == "count" and not y.any():
        raise ModelError(
            "a fold has only zeros",
            got=f"{len(past)} rows before fold {number}/{folds}, all of count 0",
            hint="fewer folds, or examples from the first count above 0 on",
        )
    if past.task in CLASSES and len(np.unique(y)) < 2:
        raise ModelError(
            "a fold has only one class",
            got=f"{len(past)} rows before fold {number}/{folds}, all of one class",
            hint="fewer folds, or more examples of the rarer class",
        )


def mean_of(values: Sequence[float], folds: Sequence[Fold]) -> float:
    """Return the mean over the folds in which the metric is defined, by their weights; NaN without such a fold."""
    return _mean(values, [fold.weight for fold in folds[: len(values)]])


def means(scores: Mapping[str, Sequence[float]], *, timed: bool = False) -> dict[str, float]:
    """Return each candidate's mean over the scores of its folds, of a version that did not keep it. If `timed`, later
    ones count more."""
    return {
        name: _mean(found, [float(n) if timed else 1.0 for n in range(1, len(found) + 1)])
        for name, found in scores.items()
    }


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    defined = [(value, weight) for value, weight in zip(values, weights, strict=True) if value == value]
    if not defined:
        return float("nan")
    return float(np.average([value for value, _ in defined], weights=[weight for _, weight in defined]))


def _ranked(scores: Mapping[str, Sequence[float]], folds: Sequence[Fold], judge: Metric) -> list[str]:
    """Return the names of the candidates, the best mean first."""
    found = {name: mean_of(values, folds) for name, values in scores.items()}
    if any(np.isnan(mean) for mean in found.values()):
        raise ModelError(
            f"{judge.name} is undefined in every fold",
            got=", ".join(f"{name}: {list(each)}" for name, each in scores.items()),
            hint="candidates that predict only values above 0, or another metric"
            if judge.name == "poisson_deviance"
            else "fewer folds, or another metric",
        )
    return sorted(found, key=lambda name: (-len(scores[name]), -judge.sign * found[name]))
