"""The search for settings: its budget, its order, what it leaves when it ends early, and how it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import process_time

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from mainstem.models.algorithms import among
from mainstem.models.algorithms.estimators import sklearn
from mainstem.models.algorithms.lightgbm import lightgbm
from mainstem.models.algorithms.naive import Constant
from mainstem.models.algorithms.settings import Declared, Range, setting
from mainstem.models.metrics import Metric, metric
from mainstem.models.metrics.own import own
from mainstem.models.search.budget import Allowance
from mainstem.models.search.memory import Memory, memory_of
from mainstem.models.search.searching import search
from mainstem.nodes.kinds import number
from mainstem.nodes.metrics import OwnMetric
from mainstem.testing import learning


class World:
    """A clock that only fits move, and the fits that were made."""

    now = 0.0
    fits = 0

    @classmethod
    def clock(cls) -> float:
        return cls.now


@pytest.fixture(autouse=True)
def world() -> Iterator[type[World]]:
    World.now, World.fits = 0.0, 0
    yield World


@dataclass(frozen=True)
class Shifted(Declared):
    """The mean of the past, and a shift that a search should bring near to 0."""

    name = "shifted"

    shift: float = setting(-9.0, number(-100), Range(-20, 20))

    def fit(self, examples, settings=None):
        World.fits += 1
        World.now += 0.5 + abs(self.shift) / 20
        values = np.array([examples.y.mean() + self.shift])
        return Constant(examples.task, values, strings_only=False)

    def settle(self, found):
        return {}


def searched(
    tune,
    *,
    memory=None,
    report=lambda told: None,
    asked=None,
    allowance=None,
    combine=False,
    task="regression",
    judge=None,
    clock=World.clock,
):
    allowance = allowance or Allowance(tune, clock=clock)
    return search(
        learning.examples(task, 240),
        asked or [Shifted(), "naive"],
        judge or metric("rmse" if task == "regression" else "log_loss", task),
        folds=2,
        gap="0s",
        window=None,
        allowance=allowance,
        combine=combine,
        memory=memory or Memory(),
        report=report,
        clock=clock,
    )


def shown(found):
    return [(each.name, dict(each.settings), each.state, each.value) for each in found.search.trials]


def test_a_search_finds_better_settings_and_says_what_it_tried():
    found = searched(25)
    assert len(found.search.trials) == 25 and found.search.budget == "25 trials"
    assert found.search.trials[0].name == "shifted" and found.search.trials[1].name == "naive"
    tuned = min(each.value for each in found.search.trials if each.name.startswith("shifted") and each.value)
    assert tuned < found.search.trials[0].value
    assert "25 trials" in found.said["search"]
    assert found.said["choice"].startswith("kept naive with its defaults: no trial was better")
    assert {"shifted", "naive"} <= set(found.scores)


def test_a_number_of_trials_gives_the_same_result_again():
    assert shown(searched(15)) == shown(searched(15))


def test_trials_that_are_behind_after_a_fold_stop():
    states = [each.state for each in searched(25).search.trials]
    assert "stopped" in states and "complete" in states
    # `naive` has two fits too, which are not counted.
    assert World.fits == sum(1 if state == "stopped" else 2 for state in states) - 2


def test_a_declared_setting_is_not_searched():
    found = searched(8, asked=[Shifted(shift=3.0), "naive"])
    assert {each.name for each in found.search.trials} == {"shifted(shift=3.0)", "naive"}
    assert found.search.ended == "no candidate has settings to search for"


def test_a_declared_space_is_where_a_search_looks():
    made = Shifted(shift=among(2, 6))
    assert made.shift == 4.0
    found = searched(15, asked=[made, "naive"])
    trials = [each for each in found.search.trials if each.name.startswith("shifted")]
    assert [each.name for each in trials[:2]] == ["shifted(shift=2 to 6)", "shifted(shift=2 to 6) #3"]
    shifts = [each.settings["shift"] for each in trials[1:]]
    assert len(set(shifts)) > 5 and all(2 <= each <= 6 for each in shifts)


def test_known_settings_outside_a_declared_space_are_not_tried():
    made = lightgbm(num_leaves=among(20, 40), rounds=5, few_rounds=5)
    found = searched(9, asked=[made], task="binary")
    leaves = [each.settings["num_leaves"] for each in found.search.trials if "num_leaves" in each.settings]
    assert len(leaves) >= 4 and all(20 <= each <= 40 for each in leaves)
    assert {each.settings.get("lambda_l2") for each in found.search.trials} >= {10.0}


def test_parameters_of_an_estimator_are_searched():
    pipeline = make_pipeline(PolynomialFeatures(), Ridge(alpha=1))
    made = sklearn(
        pipeline, space={"ridge__alpha": among(10.0, 1_000.0, log=True), "polynomialfeatures__degree": among([1, 2])}
    )
    assert pipeline[-1].alpha == 1 and made.value_of("ridge__alpha") == 100.0
    found = searched(10, asked=[made])
    name = "Pipeline(PolynomialFeatures, Ridge)(ridge__alpha=10 to 1000, polynomialfeatures__degree=1 or 2)"
    assert found.search.trials[0].name == name and found.search.trials[0].state == "complete"
    tried = [each.settings for each in found.search.trials[1:]]
    assert {each["polynomialfeatures__degree"] for each in tried} == {1, 2}
    assert len({each["ridge__alpha"] for each in tried}) > 5 and all(
        10 <= each["ridge__alpha"] <= 1_000 for each in tried
    )
    assert shown(searched(10, asked=[made])) == shown(found)


def test_the_time_is_kept_and_used():
    found = searched("20s")
    assert 15 < World.now <= 20 * 1.05
    assert found.search.ended == "its budget was used"


def slow(seconds: float) -> Metric:
    """A metric of one's own that moves the clock."""

    def deviation(y, scores):
        World.now += seconds
        return float(np.abs(y - scores).mean())

    return own(OwnMetric("slow_deviation", deviation, higher_is_better=False, where="here"), "regression")


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.01, 0.1])
def test_the_time_is_kept_with_an_ensemble_and_a_slow_metric(seconds):
    """Twenty draws are 440 evaluations in each of two folds. Of a tenth of a second, they do not fit."""
    found = searched("30s", asked=[Shifted()], judge=slow(seconds), combine=True)
    assert 20 < World.now <= 30 * 1.05 and len(found.search.trials) > 10
    assert ("no time was left" in found.said["choice"]) == (seconds == 0.1)


def test_the_time_of_a_processor_is_kept_with_real_algorithms():
    def deviation(y, scores):
        return float(np.mean([np.abs(np.sort(y) - np.sort(scores)).mean() for _ in range(50)]))

    judge = own(OwnMetric("busy_deviation", deviation, higher_is_better=False, where="here"), "regression")
    began = process_time()
    found = searched("4s", asked=["linear", "knn", "decision_tree"], judge=judge, combine=True, clock=process_time)
    assert 2 < process_time() - began < 4 * 1.1
    assert len(found.search.trials) > 10 and "no time was left" not in found.said["choice"]


def test_the_defaults_are_tried_whatever_the_budget():
    found = searched("1s")
    assert [each.name for each in found.search.trials] == ["shifted", "naive"]


def test_a_time_is_divided_among_the_searches_that_are_left():
    allowance = Allowance("30s", searches=3, clock=World.clock)
    for _ in range(3):
        searched("", allowance=allowance)
    assert World.now <= 30 * 1.05


class Killed(Exception):
    """What ends a process, as far as a search can see it."""


def ending(at: str, problem: type[BaseException]):
    def report(told: str) -> None:
        if told.startswith(at):
            raise problem

    return report


def test_a_search_that_was_killed_goes_on_and_gives_the_same(tmp_path):
    whole, fits = searched(15), World.fits
    World.fits = 0
    with pytest.raises(Killed):
        searched(15, memory=Memory(tmp_path), report=ending("trial 9/15", Killed))
    done = World.fits
    assert shown(searched(15, memory=Memory(tmp_path))) == shown(whole)
    assert 0 < done < fits and World.fits == fits


def test_a_time_that_was_used_before_a_kill_is_counted(tmp_path):
    with pytest.raises(Killed):
        searched("20s", memory=Memory(tmp_path), report=ending("trial 8", Killed))
    searched("20s", memory=Memory(tmp_path))
    assert World.now <= 20 * 1.05


def test_a_damaged_outcome_is_made_again(tmp_path):
    whole = searched(6, memory=Memory(tmp_path))
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:40])
    assert shown(searched(6, memory=Memory(tmp_path))) == shown(whole)


def test_another_definition_or_other_rows_begin_anew(tmp_path):
    first = memory_of(tmp_path, "definition", "rows")
    searched(4, memory=first)
    assert list(tmp_path.rglob("*.npz"))
    assert memory_of(tmp_path, "definition", "rows").directory == first.directory and list(tmp_path.rglob("*.npz"))
    memory_of(tmp_path, "definition", "other rows")
    assert not list(tmp_path.rglob("*.npz"))


def test_an_interrupt_keeps_the_best_so_far():
    allowance = Allowance(30, searches=2)
    found = searched(30, allowance=allowance, report=ending("trial 9/30", KeyboardInterrupt))
    assert len(found.search.trials) == 8 and found.search.ended == "it was interrupted"
    assert found.ranked and allowance.stopped
    after = searched(30, allowance=allowance)
    assert [each.name for each in after.search.trials] == ["shifted", "naive"]


def test_progress_shows_the_best_so_far():
    told: list[str] = []
    searched(6, report=told.append)
    assert any(each.startswith("trial 6/6") and "best" in each for each in told)


@dataclass(frozen=True)
class Fails(Shifted):
    """Settings that cannot be fitted."""

    name = "fails"

    def fit(self, examples, settings=None):
        if self.shift != -9.0:
            raise ValueError("no such shift")
        return super().fit(examples, settings)


def test_settings_that_fail_are_counted():
    found = searched(6, asked=[Fails()])
    assert [each.state for each in found.search.trials] == ["complete", *["failed"] * 5]
    assert found.chosen == "fails"


def test_real_algorithms_are_searched_alike_twice():
    found = [searched(8, asked=["linear", "lightgbm"], task="binary", combine=True) for _ in range(2)]
    assert shown(found[0]) == shown(found[1]) and found[0].chosen == found[1].chosen
    for one, other in zip(found[0].folds, found[1].folds, strict=True):
        assert all(np.array_equal(one.scores[name], other.scores[name]) for name in one.scores)


def test_every_candidate_with_settings_has_its_turn():
    found = searched(20, asked=["linear", "lightgbm"], task="binary")
    counts = [sum(each.name.startswith(name) for each in found.search.trials) for name in ("linear", "lightgbm")]
    assert counts[1] > counts[0] >= 4
