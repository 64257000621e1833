"""Search for settings: defaults, a portfolio, then what Optuna suggests, each on the folds of the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from mainstem.errors import ModelError
from mainstem.graph.fingerprint import digest
from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.identity import identity
from mainstem.models.engineering import Engineered
from mainstem.models.evaluation.comparison import Fold, Outcome, mean_of, outcome
from mainstem.models.metrics import Metric
from mainstem.models.search.budget import Budget
from mainstem.models.search.evidence import seconds_of
from mainstem.models.search.memory import Memory
from mainstem.models.search.portfolio import Values, portfolio
from mainstem.models.search.suggesting import Suggestions
from mainstem.models.search.workers import Fit, Lost, Workers, can_go
from mainstem.nodes.engineering import Engineer, Selection
from mainstem.nodes.evaluations import Trial

Report = Callable[[str], None]

FEWEST_COMPLETE = 4
"""Complete trials before one is stopped: the median of fewer says little."""

SLACK = 1.25
"""How much longer than the longest fit of its kind the next one may take, for a budget of time."""

FITTING = 0.95
"""The share of a time for fits. The rest is for the ensemble, and for what decides between trials."""

LEAST = 0.75
"""The same where the metric is slow: the draws that decide need more than a twentieth of the time."""

MISFITS = 3
"""Trials in a row that no longer fit into the time, after which the search ends."""

REPEATS = 25
"""Trials in a row that were tried before, after which the search ends."""

SPARE = 3
"""How many times as many trials must be left as there are ways to make or select inputs, so that these are tried."""

Recipe = tuple[tuple[Engineer, ...], Selection | None]
"""What is made of the inputs, and how they are selected."""

NOTHING: Recipe = ((), None)

KEPT_TRIALS, KEPT_BYTES = 25, 256 * 2**20
"""The best trials whose scores stay in memory: so many, or so many bytes of them."""


@dataclass(frozen=True, eq=False)
class Tried:
    """A complete trial: the candidate with its settings, what it was made from, its outcome in each fold, and the mean
    of the metric over the folds in which it is defined; NaN without such a fold."""

    candidate: Candidate
    base: str
    values: Values
    outcomes: tuple[Outcome, ...]
    mean: float


@dataclass(eq=False)
class Trials:
    """The trials of one search, in order. `complete` are those that ran on all folds and are still worth combining."""

    candidates: Sequence[Candidate]
    folds: Sequence[Fold]
    judge: Metric
    budget: Budget
    memory: Memory
    report: Report
    clock: Callable[[], float] = perf_counter
    recipes: Sequence[Recipe] = ()
    workers: Workers | None = None
    jobs: int = 1
    defaults: list[Tried] = field(default_factory=list)
    complete: list[Tried] = field(default_factory=list)
    told: list[Trial] = field(default_factory=list)
    ended: str = ""
    interrupted: bool = False
    _means: list[list[float]] = field(default_factory=list)
    _fits: dict[str, list[float]] = field(default_factory=dict)
    _seen: dict[str, list[float]] = field(default_factory=dict)
    _recipes: dict[str, Recipe] = field(default_factory=dict)
    _done: set[tuple[str, str]] = field(default_factory=set)
    _ahead: dict[tuple[str, str], Future[Fit]] = field(default_factory=dict)
    _recalled: float = 0.0
    _share: float = FITTING
    _began: float = 0.0

    def run(self, *, stopped: bool = False) -> None:
        """Try the defaults, whatever the budget, and then more until the budget is used.

        An interrupt ends the search and keeps what was found, once the defaults are done. If `stopped`, only the
        defaults are tried.
        """
        self._began = self.clock()
        for each in self.candidates:
            self._fit_ahead(each)
        for each in self.candidates:
            self._default(each)
        if stopped:
            self.ended = "it was interrupted"
            return
        try:
            self._more()
        except KeyboardInterrupt:
            self.interrupted, self.ended = True, "it was interrupted"

    @property
    def seconds(self) -> float:
        """The seconds that the search has used, with those of outcomes that an earlier run left."""
        return self.clock() - self._began + self._recalled

    def left(self) -> float:
        """Return the seconds that are left; infinity for a number of trials."""
        return float("inf") if self.budget.seconds is None else self.budget.seconds - self.seconds

    def _reserve(self) -> None:
        """Set apart what the fewest draws that decide between trials take: of a slow metric, more than a twentieth."""
        if self.budget.seconds is not None:
            scores = [one.scores for one in self.defaults[0].outcomes]
            # As much again is for an ensemble.
            needed = 2 * seconds_of(self.judge, self.folds, scores, self.clock)
            self._share = max(LEAST, min(FITTING, 1 - needed / self.budget.seconds))

    @property
    def best(self) -> Tried:
        """The complete trial with the best mean; of equal ones, the earliest."""
        return max(self.complete, key=self._rank)

    def _default(self, candidate: Candidate) -> None:
        name = candidate.name
        outcomes = []
        for number, fold in enumerate(self.folds, 1):
            self.report(f"fold {number}/{len(self.folds)} {name} …")
            outcomes.append(self._outcome(candidate, name, number, fold))
            self.report(f"fold {number}/{len(self.folds)} {name} {outcomes[-1].value:.3f}")
        running = [self._mean(outcomes[:n]) for n in range(1, len(outcomes) + 1)]
        tried = Tried(candidate, name, {}, tuple(outcomes), running[-1])
        self.defaults.append(tried)
        self._completed(tried, running)

    def _more(self) -> None:
        self.ended = "its budget was used"
        self._reserve()
        suggestions = Suggestions(self.candidates, maximize=self.judge.sign > 0, seed=self.folds[0].past.seed)
        for each in self.defaults:
            suggestions.add(each.candidate, {}, each.mean)
        starts = list(portfolio(self.candidates))
        for place, (candidate, values) in enumerate(starts):
            if not self._has_budget():
                return
            for base, following in starts[place : place + 1 + self._spare()]:
                self._fit_ahead(self._candidate(base, following, NOTHING))
            running, _ = self._trial(candidate, values)
            if len(running) == len(self.folds):
                suggestions.add(candidate, values, running[-1])
        self._engineered()
        if not suggestions.has_any:
            self.ended = "no candidate has settings to search for"
            return
        misfits = repeats = 0
        while self._has_budget() and misfits < MISFITS and repeats < REPEATS:
            candidate, values = suggestions.ask(self.best.base)
            repeats = repeats + 1 if self._key(candidate, values) in self._seen else 0
            running, fits = self._trial(candidate, values)
            misfits = 0 if fits else misfits + 1
            suggestions.told(running, complete=len(running) == len(self.folds))
        if repeats == REPEATS:
            self.ended = "all settings were tried"

    def _engineered(self) -> None:
        """Try each way to make or select inputs with the best trial's settings. The best of them that is better than
        the trial is kept in later trials of the candidate."""
        if self.budget.trials is not None and self.budget.trials - len(self.told) < SPARE * len(self.recipes):
            return
        before = self.best
        base = next(each for each in self.candidates if each.name == before.base)
        recipes = self.recipes if getattr(base.algorithm, "prepares", False) else ()
        for place, recipe in enumerate(recipes):
            if not self._has_budget():
                return
            for following in recipes[place : place + 1 + self._spare()]:
                self._fit_ahead(self._candidate(base, before.values, following))
            self._recipes[base.name] = recipe
            self._trial(base, before.values)
        if self.recipes:
            algorithm: Any = self.best.candidate.algorithm
            made = isinstance(algorithm, Engineered) and self.best.base == base.name
            self._recipes[base.name] = (algorithm.engineer, algorithm.select) if made else NOTHING

    def _has_budget(self) -> bool:
        if self.budget.trials is not None:
            return len(self.told) < self.budget.trials
        return self.budget.seconds is not None and self.seconds < self._share * self.budget.seconds

    def _trial(self, base: Candidate, values: Values) -> tuple[list[float], bool]:
        """Try settings. Return the running means of the metric, one for each fold that was fitted, and whether the
        trial fits into the time."""
        recipe = self._recipes.get(base.name, NOTHING)
        key = self._key(base, values)
        if key in self._seen:
            repeated = _repeated(self._seen[key])
            self.told.append(Trial(f"{base.name} #{len(self.told) + 1}", _shown(values, recipe), *repeated))
            return self._seen[key], True
        candidate = self._candidate(base, values, recipe)
        self._fit_ahead(candidate)
        outcomes: list[Outcome] = []
        running: list[float] = []
        fits = True
        for number, fold in enumerate(self.folds, 1):
            self.report(self._progress(candidate, number))
            try:
                found = self._outcome(candidate, base.name, number, fold)
            except _TooLong:
                fits = False
                break
            except ModelError:
                running = []
                break
            outcomes.append(found)
            running.append(self._mean(outcomes))
            if self._is_behind(running):
                break
        self._forget(candidate)
        seconds = sum(one.seconds for one in outcomes)
        if fits:
            self._seen[key] = running
        if len(running) == len(self.folds):
            self._completed(Tried(candidate, base.name, values, tuple(outcomes), running[-1]), running, recipe)
        elif fits:
            state: Any = "stopped" if running else "failed"
            value = running[-1] if running else None
            self.told.append(Trial(candidate.name, _shown(values, recipe), state, value, round(seconds, 3)))
        return running, fits

    def _outcome(self, candidate: Candidate, base: str, number: int, fold: Fold) -> Outcome:
        key = (digest(_plain(candidate)), str(number))
        found = self.memory.recall(key)
        if found is not None:
            self._recalled += found.seconds
        else:
            self._refuse_long(base)
            found = self._fitted(candidate, key, fold)
            self.memory.keep(key, found)
        self._fits.setdefault(base, []).append(found.seconds)
        return found

    def _key(self, base: Candidate, values: Values) -> str:
        recipe = self._recipes.get(base.name, NOTHING)
        return _key(base, values if recipe == NOTHING else {**values, "made": repr(recipe)})

    def _candidate(self, base: Candidate, values: Values, recipe: Recipe) -> Candidate:
        return Candidate(f"{base.name} #{len(self.told) + 1}", _made(_with(base, values), recipe))

    def _fitted(self, candidate: Candidate, key: tuple[str, str], fold: Fold) -> Outcome:
        """Return what came of a fit that a worker has begun, or of one in this process."""
        began = self._ahead.pop(key, None)
        if began is None:
            return outcome(candidate, fold, self.judge, self.clock)
        try:
            scores, settings, seconds, work = began.result()
        except Lost:
            return outcome(candidate, fold, self.judge, self.clock)
        return Outcome(self.judge.value(fold.future.truth, scores), scores, settings, seconds, work)

    def _fit_ahead(self, candidate: Candidate) -> None:
        """Have the workers, if there are any, fit a candidate on all folds that are not fitted yet."""
        if self.workers is None or not can_go(candidate):
            return
        name = digest(_plain(candidate))
        for number in range(1, len(self.folds) + 1):
            key = name, str(number)
            if key not in self._ahead and key not in self._done and self.memory.recall(key) is None:
                self._ahead[key] = self.workers.ask(candidate, number)
                self._done.add(key)

    def _forget(self, candidate: Candidate) -> None:
        """Take back the fits of a trial that has ended and that no worker has begun."""
        for number in range(1, len(self.folds) + 1) if self._ahead else ():
            began = self._ahead.pop((digest(_plain(candidate)), str(number)), None)
            if began is not None:
                began.cancel()

    def _spare(self) -> int:
        """Return how many trials after the next one workers may begin: what is begun for nothing is lost."""
        if self.workers is None:
            return 0
        left = self.jobs if self.budget.trials is None else self.budget.trials - len(self.told) - 1
        return min(self.jobs, left)

    def _refuse_long(self, base: str) -> None:
        """Raise `_TooLong` if a fit like the longest of its kind would end after the budget. Defaults always run."""
        if self.budget.seconds is None or len(self.defaults) < len(self.candidates):
            return
        # The first fit of a kind also imports its library.
        earlier = self._fits[base][1:] or self._fits[base]
        if self.seconds + SLACK * max(earlier) > self._share * self.budget.seconds:
            raise _TooLong

    def _is_behind(self, running: Sequence[float]) -> bool:
        """Return whether a trial is worse after its first folds than half of the complete ones were."""
        if len(running) == len(self.folds) or len(self._means) < FEWEST_COMPLETE:
            return False
        others = [value for each in self._means if (value := each[len(running) - 1]) == value]
        return bool(others) and self.judge.sign * running[-1] < self.judge.sign * float(np.median(others))

    def _completed(self, tried: Tried, running: Sequence[float], recipe: Recipe = NOTHING) -> None:
        self._means.append(list(running))
        self.told.append(
            Trial(
                tried.candidate.name,
                _shown(tried.values, recipe),
                "complete",
                None if np.isnan(tried.mean) else tried.mean,
                round(sum(one.seconds for one in tried.outcomes), 3),
            )
        )
        self.complete.append(tried)
        each = max(1, sum(one.scores.nbytes for one in tried.outcomes))
        most = max(5, min(KEPT_TRIALS, KEPT_BYTES // each)) + len(self.candidates)
        if len(self.complete) > most:
            kept = {id(one) for one in [*sorted(self.complete, key=self._rank)[-most:], *self.defaults]}
            self.complete = [one for one in self.complete if id(one) in kept]

    def _mean(self, outcomes: Sequence[Outcome]) -> float:
        return mean_of([each.value for each in outcomes], self.folds)

    def _rank(self, tried: Tried) -> float:
        return -np.inf if np.isnan(tried.mean) else self.judge.sign * tried.mean

    def _progress(self, candidate: Candidate, fold: int) -> str:
        if self.budget.trials is not None:
            where = f"trial {len(self.told) + 1}/{self.budget.trials}"
        else:
            where = f"trial {len(self.told) + 1}, {self.seconds:.0f} of {self.budget.seconds:.0f} s"
        best = self.best
        return (
            f"{where}, fold {fold}/{len(self.folds)}: {candidate.name} … best {best.mean:.4g} ({best.candidate.name})"
        )


class _TooLong(Exception):
    """A fit would probably end after the budget."""


def _with(base: Candidate, values: Values) -> Any:
    algorithm: Any = base.algorithm
    return algorithm.with_settings(**values) if values else algorithm


def _made(algorithm: Any, recipe: Recipe) -> Any:
    return algorithm if recipe == NOTHING else Engineered(algorithm, *recipe)


def _shown(values: Values, recipe: Recipe) -> dict[str, Any]:
    """Return what a trial tried, as reports have it."""
    if recipe == NOTHING:
        return dict(values)
    words = dict.fromkeys(each.word for each in recipe[0])
    return {
        **values,
        **({"engineer": ", ".join(words)} if words else {}),
        **({"select": "auto"} if recipe[1] else {}),
    }


def _key(base: Candidate, values: Values) -> str:
    return repr((base.name, sorted(values.items())))


def _plain(candidate: Candidate) -> str:
    return repr(identity(candidate.algorithm))


def _repeated(running: Sequence[float]) -> tuple[Any, float | None, float]:
    return ("stopped" if running else "failed", running[-1] if running else None, 0.0)
