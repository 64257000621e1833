"""The contract of an `Algorithm`: it learns, it says the same twice, and its artifact scores like the fitted model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from mainstem.errors import DefinitionError
from mainstem.models.algorithms import Algorithm, Choice, Estimator
from mainstem.models.algorithms.naive import Naive
from mainstem.models.algorithms.settings import USUAL
from mainstem.models.artifact import export, gate
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.labels import DEFAULT_METRIC
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.metrics import metric
from mainstem.nodes.models import CLASSES, WIDE, Task
from mainstem.nodes.prepare import Hashed, Number, Target
from mainstem.testing import learning

WIDTHS = {"both": (5, 2), "numbers": (5, 0), "texts": (0, 2)}


class AlgorithmContract:
    """Define the fixture `algorithm`, an object with `fit` and `settle`.

    `learns` is False for an algorithm that does not follow the inputs, `weighs` for one that does not use weights. An
    algorithm with `tasks` is tested in these, one that `prepares` with declared steps of inputs, and one with `space`
    and `with_settings` at the ends of its space.
    """

    learns = True
    weighs = True
    rows = 600

    @pytest.fixture(params=get_args(Task))
    def task(self, request: pytest.FixtureRequest, algorithm: Algorithm) -> Task:
        found: Task = request.param
        if found not in getattr(algorithm, "tasks", USUAL):
            pytest.skip(f"the algorithm does not learn the task {found!r}")
        return found

    @pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
    def test_the_artifact_scores_like_the_fitted_model(
        self, algorithm: Algorithm, task: Task, widths: tuple[int, int]
    ) -> None:
        floats, strings = widths
        examples = learning.examples(task, self.rows, floats=floats, strings=strings)
        estimator = algorithm.fit(examples)
        held_out = learning.rows(300, seed=9, floats=floats, strings=strings)
        scores = run(session(_gated(estimator, examples, held_out)), held_out)
        assert scores.shape == ((300, examples.classes) if task in WIDE else (300,))
        assert scores.dtype == np.float64
        if task in CLASSES:
            assert ((scores >= 0) & (scores <= 1)).all()
        if task == "quantile":
            assert (np.diff(scores, axis=1) >= 0).all()
        if task == "multiclass":
            assert scores.sum(1) == pytest.approx(np.ones(300), abs=1e-5)

    def test_it_is_the_same_twice(self, algorithm: Algorithm, task: Task) -> None:
        examples = learning.examples(task, self.rows)
        first, second = (algorithm.fit(examples).scores(examples.rows) for _ in range(2))
        assert (first == second).all()

    def test_it_learns_more_than_the_naive_prediction(self, algorithm: Algorithm, task: Task) -> None:
        if not self.learns:
            pytest.skip("the algorithm does not follow the inputs")
        train, test = learning.examples(task, 2 * self.rows), learning.examples(task, self.rows, seed=5)
        judge = metric(DEFAULT_METRIC[task])
        blind = judge.value(test.truth, np.asarray(Naive().fit(train).scores(test.rows)))
        found = judge.value(test.truth, algorithm.fit(train).scores(test.rows))
        assert judge.sign * (found - blind) > 0.1 * abs(blind)

    def test_importances_are_shares(self, algorithm: Algorithm, task: Task) -> None:
        found = np.asarray(algorithm.fit(learning.examples(task, self.rows)).importances(7))
        assert found.shape == (7,)
        assert (found >= 0).all()
        assert found.sum() == pytest.approx(1) or not found.any()

    def test_settings_that_were_found_are_used_again(self, algorithm: Algorithm, task: Task) -> None:
        examples = learning.examples(task, self.rows)
        found = [algorithm.fit(examples.take(np.arange(size))).settings for size in (self.rows // 2, self.rows)]
        settled = algorithm.settle(found)
        assert settled.keys() == found[0].keys()
        assert algorithm.fit(examples, settled or None).settings == pytest.approx(settled)
        assert algorithm.settle([]) == {}

    def test_a_class_that_the_rows_lack_gets_a_small_probability(self, algorithm: Algorithm) -> None:
        if "multiclass" not in getattr(algorithm, "tasks", ("multiclass",)) or not self.learns:
            pytest.skip("the algorithm tells no classes apart")
        for seen in ([0, 1, 2, 4], [1, 3]):
            examples = learning.examples("multiclass", 300)
            part = replace(examples, y=np.array(seen)[np.arange(300) % len(seen)], classes=5)
            estimator = algorithm.fit(part)
            scores = np.asarray(estimator.scores(part.rows))
            absent = [k for k in range(5) if k not in seen]
            assert scores.shape == (300, 5)
            assert (scores[:, absent] < 0.05).all()
            assert scores.sum(1) == pytest.approx(np.ones(300), abs=1e-5)
            _gated(estimator, part, learning.rows(50, seed=2))

    def test_small_and_odd_tables(self, algorithm: Algorithm, task: Task) -> None:
        examples = learning.examples(task, 40, floats=3, strings=1)
        floats = examples.rows.floats.copy()
        floats[:, 1], floats[:20, 2] = 7.0, np.nan  # a constant, and a number that half of the rows lack
        floats[0, 0] = np.inf
        odd = replace(examples, rows=Rows(floats, examples.rows.strings))
        _gated(algorithm.fit(odd), odd, learning.rows(50, seed=2, floats=3, strings=1))

    def test_declared_steps_of_inputs_reach_it(self, algorithm: Any) -> None:
        if not getattr(algorithm, "prepares", False) or not self.learns:
            pytest.skip("the algorithm prepares its inputs itself")
        task: Task = getattr(algorithm, "tasks", ("binary",))[0]
        examples = learning.examples(task, self.rows, floats=2, strings=2)
        steps = (Number("mean", "log"), Number("median", "quantile"), Target(), Hashed(4))
        declared = algorithm.fit(replace(examples, prepare=steps))
        _gated(declared, examples, learning.rows(100, seed=2, floats=2, strings=2))
        assert (declared.scores(examples.rows) != algorithm.fit(examples).scores(examples.rows)).any()

    def test_rows_count_by_their_weight(self, algorithm: Algorithm, task: Task) -> None:
        """Scores follow the rows that count more, whatever else an algorithm draws at random."""
        if not self.weighs:
            pytest.skip("the algorithm does not use weights")
        examples = learning.examples(task, self.rows)
        many = examples.y == examples.y.max() if task in CLASSES else examples.y > np.median(examples.y)
        heavy = replace(examples, weights=np.where(many, 50.0, 1.0))
        plain, weighed = (np.asarray(algorithm.fit(each).scores(examples.rows)) for each in (examples, heavy))
        if task in WIDE:
            plain, weighed = plain[:, -1], weighed[:, -1]
        assert weighed.mean() > plain.mean()

    def test_its_space_can_be_searched(self, algorithm: Any) -> None:
        space = getattr(algorithm, "space", {})
        for take in (0, -1):
            ends = {
                name: each.options[take]
                if isinstance(each, Choice)
                else (int if each.whole else float)((each.low, each.high)[take])
                for name, each in space.items()
            }
            if ends:
                task: Task = getattr(algorithm, "tasks", ("binary",))[0]
                examples = learning.examples(task, 200)
                other = algorithm.with_settings(**ends)
                assert other != algorithm
                assert other.with_settings(**{name: getattr(algorithm, name) for name in ends}) == algorithm
                assert np.isfinite(other.fit(examples).scores(examples.rows)).all()

    def test_a_setting_that_it_has_not_is_refused(self, algorithm: Any) -> None:
        if not hasattr(algorithm, "with_settings"):
            pytest.skip("the algorithm has no settings")
        with pytest.raises(DefinitionError, match="has no setting 'nothing_like_it'"):
            algorithm.with_settings(nothing_like_it=1)


def _gated(estimator: Estimator, examples: Examples, held_out: Rows) -> bytes:
    widths = held_out.floats.shape[1], held_out.strings.shape[1]
    model = export.graph(estimator, *widths, examples.task, examples.classes)
    assert gate.check(estimator, model, held_out).largest <= 1
    return model
