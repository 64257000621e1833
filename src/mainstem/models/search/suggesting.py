"""Optuna asks what to try next: a candidate and its settings, by TPE with a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.errors import MissingExtra
from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.settings import Choice, Range
from mainstem.models.search.portfolio import Values, space_of

WHICH = "candidate"


class Suggestions:
    """A study in memory over several candidates. What was tried is told to it, in order."""

    def __init__(self, candidates: Sequence[Candidate], *, maximize: bool, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingExtra.named("tune", "optuna") from None
        self._optuna = optuna
        self._candidates = {each.name: each for each in candidates if space_of(each)}
        optuna.logging.disable_default_handler()  # it writes a line for each trial
        self._study = optuna.create_study(
            direction="maximize" if maximize else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=8),
        )
        self._asked: Any = None

    @property
    def has_any(self) -> bool:
        """Whether there is a setting to search for."""
        return bool(self._candidates)

    def ask(self) -> tuple[Candidate, Values]:
        """Return a candidate and settings to try."""
        self._asked = self._study.ask()
        chosen = self._candidates[self._asked.suggest_categorical(WHICH, list(self._candidates))]
        return chosen, {name: self._suggested(chosen, name, where) for name, where in space_of(chosen).items()}

    def told(self, values: Sequence[float], *, complete: bool) -> None:
        """Tell what came of the last suggestion: the running means over its folds. Without any, it failed."""
        states = self._optuna.trial.TrialState
        values = [value for value in values if value == value]
        for step, value in enumerate(values):
            self._asked.report(value, step)
        if not values:
            self._study.tell(self._asked, state=states.FAIL)
        elif complete:
            self._study.tell(self._asked, values[-1])
        else:
            self._study.tell(self._asked, state=states.PRUNED)

    def add(self, candidate: Candidate, values: Values, value: float) -> None:
        """Tell of a trial that was not suggested. Settings outside the space, such as None, are left out."""
        if candidate.name not in self._candidates or value != value:
            return
        shapes = self._optuna.distributions
        given: dict[str, Any] = {WHICH: candidate.name}
        distributions = {WHICH: shapes.CategoricalDistribution(list(self._candidates))}
        for name, where in space_of(candidate).items():
            found = _inside(where, values.get(name, getattr(candidate.algorithm, name)))
            if found is not None:
                given[f"{candidate.name}: {name}"] = found
                distributions[f"{candidate.name}: {name}"] = _distribution(shapes, where)
        self._study.add_trial(self._optuna.trial.create_trial(params=given, distributions=distributions, value=value))

    def _suggested(self, candidate: Candidate, name: str, where: Range | Choice) -> Any:
        label = f"{candidate.name}: {name}"
        if isinstance(where, Choice):
            return where.options[self._asked.suggest_categorical(label, list(range(len(where.options))))]
        if where.whole:
            return self._asked.suggest_int(label, int(where.low), int(where.high), log=where.log)
        # Six digits are enough, and a card can say them.
        return float(f"{self._asked.suggest_float(label, where.low, where.high, log=where.log):.6g}")


def _inside(where: Range | Choice, value: Any) -> Any:
    """Return a value as the study knows it; None if it is not in the space."""
    if isinstance(where, Choice):
        return where.options.index(value) if value in where.options else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not where.low <= value <= where.high:
        return None
    return int(value) if where.whole else float(value)


def _distribution(shapes: Any, where: Range | Choice) -> Any:
    if isinstance(where, Choice):
        return shapes.CategoricalDistribution(list(range(len(where.options))))
    if where.whole:
        return shapes.IntDistribution(int(where.low), int(where.high), log=where.log)
    return shapes.FloatDistribution(where.low, where.high, log=where.log)
