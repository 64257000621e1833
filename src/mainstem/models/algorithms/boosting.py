"""Gradient-boosted trees: LightGBM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models import splits
from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Settings, linked, linked_onnx, shares, usable
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.graphs.trees import ensemble
from mainstem.models.preprocessing import Fitted, ForTrees
from mainstem.nodes.models import Task

_OBJECTIVE: dict[Task, dict[str, str]] = {
    "binary": {"objective": "binary"},
    "multiclass": {"objective": "multiclass"},
    "regression": {"objective": "regression"},
}


FEWEST_WATCHED = 30
"""Rows below which early stopping stops by chance."""


@dataclass(frozen=True, eq=False)
class TreeScore:
    """A boosted ensemble over the matrix."""

    task: Task
    fitted: Fitted
    booster: Any
    settings: Settings

    def scores(self, rows: Rows) -> Scores:
        matrix = self.fitted.transform(rows.floats, rows.strings)
        raw = np.asarray(self.booster.predict(matrix, raw_score=True), float)
        return linked(raw.reshape(len(matrix), -1), self.task)

    def onnx(self, builder: Builder) -> str:
        matrix = self.fitted.onnx(builder, builder.floats, builder.strings)
        return linked_onnx(builder, ensemble(builder, matrix, self.booster.dump_model()), self.task)

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return shares(self.booster.feature_importance("gain"), self.fitted.origins, inputs)


@dataclass(frozen=True)
class LightGBM:
    """Gradient-boosted trees.

    Without settings, early stopping on the latest `held_out` share of the rows finds the number of rounds, with
    encoders fitted on the earlier rows. If that share has too few rows to tell, there are `few_rounds`. With settings,
    all rows are fitted with that number of rounds.
    """

    rounds: int = 600
    few_rounds: int = 50
    patience: int = 20
    held_out: float = 0.15
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def fit(self, examples: Examples, settings: Settings | None = None) -> TreeScore:
        if settings:
            return self._fit(examples, None, int(settings["rounds"]))
        if len(examples) * self.held_out < FEWEST_WATCHED:
            return self._fit(examples, None, self.few_rounds)
        early, late = _latest_part(examples, self.held_out)
        return self._fit(early, late, self.rounds)

    def settle(self, found: Sequence[Settings]) -> Settings:
        rounds = [s["rounds"] for s in found]
        return {"rounds": float(max(1, round(sum(rounds) / len(rounds))))} if rounds else {}

    def _fit(self, examples: Examples, watched: Examples | None, rounds: int) -> TreeScore:
        lightgbm = libraries.lightgbm()
        fitted = ForTrees().fit(examples.rows.floats, examples.rows.strings, examples.targets)
        train = self._dataset(lightgbm, fitted, examples)
        valid, calls = [], []
        if watched is not None:
            valid = [self._dataset(lightgbm, fitted, watched, train)]
            calls = [lightgbm.early_stopping(self.patience, verbose=False)]
        booster = lightgbm.train(self._parameters(examples), train, rounds, valid_sets=valid, callbacks=calls)
        best = int(booster.best_iteration if watched is not None else booster.current_iteration())
        return TreeScore(examples.task, fitted, booster, {"rounds": float(max(best, 1))})

    def _dataset(self, lightgbm: Any, fitted: Fitted, examples: Examples, reference: Any = None) -> Any:
        matrix = fitted.transform(examples.rows.floats, examples.rows.strings)
        return lightgbm.Dataset(usable(matrix), examples.y, reference=reference)

    def _parameters(self, examples: Examples) -> dict[str, Any]:
        return {
            "learning_rate": 0.1,
            "num_leaves": 31,
            "min_data_in_leaf": max(5, min(100, len(examples) // 200)),
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 1.0,
            # All rows make the bins. Otherwise a rare NaN may be missed and read as 0.
            "bin_construct_sample_cnt": max(len(examples), 1),
            "num_threads": 2 if len(examples) > 20_000 else 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": examples.seed,
            "verbosity": -1,
            **_OBJECTIVE[examples.task],
            **({"num_class": examples.classes} if examples.task == "multiclass" else {}),
            **self.parameters,
        }


def _latest_part(examples: Examples, share: float) -> tuple[Examples, Examples]:
    """Return all rows but the latest `share`, and the latest. If all have one time, the share is stratified."""
    if examples.times.min() < examples.times.max():
        found = splits.by_time(examples.times, splits.cut_of(examples.times, share), 0)
    else:
        found = splits.stratified(examples.y, share, examples.seed)
    return examples.take(found.train), examples.take(found.test)
