"""Choose a candidate: by comparison, or by a search with a budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from mainstem.models.algorithms import usual
from mainstem.models.algorithms.linear_boosting import LinearBoosting
from mainstem.models.artifact.manifest import versions
from mainstem.models.data.rows import Examples
from mainstem.models.evaluation import comparison as evaluation
from mainstem.models.evaluation.comparison import Comparison, Report
from mainstem.models.metrics import Metric
from mainstem.models.search.budget import Allowance
from mainstem.models.search.calibrating import calibrating
from mainstem.models.search.memory import Memory, memory_of
from mainstem.models.search.racing import behind
from mainstem.models.search.searching import search
from mainstem.models.training.growing import growing
from mainstem.nodes.models import Model


@dataclass(frozen=True, eq=False)
class Choosing:
    """How the candidates of a model are chosen from, each time that a training does. `allowance` is None without
    `tune`. `positive` says that all targets are, also those of the test."""

    model: Model
    judge: Metric
    report: Report
    allowance: Allowance | None = None
    memory: Memory = Memory()  # noqa: RUF009 - frozen
    positive: bool = False

    def part(self, number: int) -> Choosing:
        """Return how one fold of a cross-validation chooses."""
        report = self.report
        return replace(
            self, report=lambda told: report(f"part {number}: {told}"), memory=self.memory.part(f"part-{number}")
        )

    def chosen(self, examples: Examples) -> Comparison:
        """Return the comparison of the candidates on these rows, the one that is chosen first, calibrated if that is
        better."""
        return calibrating(self._found(examples), self.judge, self.model.calibrate)

    def _found(self, examples: Examples) -> Comparison:
        model = self.model
        asked = model.candidates or self._usual(examples)
        if self.allowance is None:
            return evaluation.compare(
                examples,
                asked,
                self.judge,
                folds=model.folds,
                gap=model.gap,
                window=model.window,
                report=self.report,
                behind=None if model.candidates else behind,
            )
        return search(
            examples,
            asked,
            self.judge,
            folds=model.folds,
            gap=model.gap,
            window=model.window,
            allowance=self.allowance,
            combine=model.ensemble,
            memory=self.memory,
            report=self.report,
            jobs=model.jobs,
            engineer=model.engineer is None and model.select is None,
        )

    def _usual(self, examples: Examples) -> tuple[Any, ...]:
        inputs = examples.rows.width
        number = examples.task in LinearBoosting.tasks
        return usual(
            len(examples),
            inputs,
            monotone=bool(self.model.monotone),
            growing=number and growing(examples),
            positive=number and self.positive,
            task=examples.task,
        )


def allowance_of(model: Model, folds: int) -> Allowance | None:
    """Return the budget of a training that chooses once, or in each of so many folds and once more."""
    return None if model.tune is None else Allowance(model.tune, folds + 1)


def remembered(model: Model, home: Path | None, fingerprint: str, examples: Examples) -> Memory:
    """Return the memory of a search for the same definition, rows and libraries."""
    if model.tune is None:
        return Memory()
    return memory_of(home, fingerprint, content(examples), repr(versions()))


def content(examples: Examples) -> str:
    """Return a hash of the rows. Snapshots do not tell: a run that was killed makes its tables anew."""
    hasher = sha256()
    for array in (examples.rows.floats, examples.y, examples.times, examples.groups, examples.weights):
        hasher.update(b"none" if array is None else array.tobytes())
    for column in examples.rows.strings.T:
        hasher.update("\x00".join(map(str, column)).encode())
    # What few models have is hashed where it is, so that the hashes of other versions stay as they were recorded.
    ahead = () if examples.ahead is None else (examples.ahead.horizons, examples.ahead.last, examples.ahead.season)
    some = {"queries": examples.queries, "validation": examples.validation, "known": examples.known}
    for name, array in [*some.items(), *(("ahead", each) for each in ahead)]:
        if array is not None:
            hasher.update(name.encode() + array.tobytes())
    return hasher.hexdigest()
