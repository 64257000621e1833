"""What to try next: a candidate in its turn, and its settings by Optuna's TPE with a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.errors import MissingExtra
from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.settings import Choice, Range
from mainstem.models.search.portfolio import Values, space_of

LEADING = 2
"""How many times as many trials the candidate with the best trial has."""


class Suggestions:
    """A study in memory for each candidate. It gets the outcomes of trials, in their order."""

    def __init__(self, candidates: Sequence[Candidate], *, maximize: bool, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise MissingExtra.named("tune", "optuna") from None
        self._optuna = optuna
        self._candidates = {each.name: each for each in candidates if space_of(each)}
        optuna.logging.disable_default_handler()  # it writes a line for each trial
        self._studies = {
            name: optuna.create_study(
                direction="maximize" if maximize else "minimize",
                sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=6),
            )
            for name in self._candidates
        }
        self._counts = dict.fromkeys(self._candidates, 0)
        self._study: Any = None
        self._asked: Any = None

    @property
    def has_any(self) -> bool:
        """Whether there is a setting to search for."""
        return bool(self._candidates)

    def ask(self, leader: str) -> tuple[Candidate, Values]:
        """Return a candidate and settings to try. Candidates take turns by their number of settings; the `leader`,
        which has the best trial so far, has twice as many.

        One study in which the candidate is a setting soon tries only the leader, which is often the one whose defaults
        are good and whose settings matter least.
        """
        shares = {
            name: len(space_of(each)) * (LEADING if name == leader else 1) for name, each in self._candidates.items()
        }
        name = min(shares, key=lambda each: self._counts[each] / shares[each])
        self._counts[name] += 1
        chosen, self._study = self._candidates[name], self._studies[name]
        self._asked = self._study.ask()
        return chosen, {each: self._suggested(each, where) for each, where in space_of(chosen).items()}

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
        given: dict[str, Any] = {}
        distributions: dict[str, Any] = {}
        for name, where in space_of(candidate).items():
            own: Any = candidate.algorithm
            found = _inside(where, values[name] if name in values else own.value_of(name))
            if found is not None:
                given[name] = found
                distributions[name] = _distribution(shapes, where)
        self._studies[candidate.name].add_trial(
            self._optuna.trial.create_trial(params=given, distributions=distributions, value=value)
        )

    def _suggested(self, name: str, where: Range | Choice) -> Any:
        if isinstance(where, Choice):
            return where.options[self._asked.suggest_categorical(name, list(range(len(where.options))))]
        if where.whole:
            return self._asked.suggest_int(name, int(where.low), int(where.high), log=where.log)
        # Six digits are enough, and a card can say them.
        return float(f"{self._asked.suggest_float(name, where.low, where.high, log=where.log):.6g}")


def _inside(where: Range | Choice, value: Any) -> Any:
    """Return a value as the study knows it; None if it is not in the space."""
    if not where.has(value):
        return None
    if isinstance(where, Choice):
        return where.options.index(value)
    return int(value) if where.whole else float(value)


def _distribution(shapes: Any, where: Range | Choice) -> Any:
    if isinstance(where, Choice):
        return shapes.CategoricalDistribution(list(range(len(where.options))))
    if where.whole:
        return shapes.IntDistribution(int(where.low), int(where.high), log=where.log)
    return shapes.FloatDistribution(where.low, where.high, log=where.log)
