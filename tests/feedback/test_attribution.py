"""The gain: what was broken is named, what was not is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from mainstem.feedback.attribution import Labelled, gains, grouped
from mainstem.feedback.causes import common
from mainstem.feedback.rivals import LABELS, WORLD, recovered, rivals
from mainstem.monitoring.drift import Sample
from mainstem.monitoring.history import DAY
from mainstem.nodes.records import InputColumn

INPUTS = (
    InputColumn("a_1h", "float", ("feed.a",)),
    InputColumn("a_3h", "float", ("feed.a",)),
    InputColumn("b", "float", ("table.b", "table.c")),
    InputColumn("noise", "float", ("table.noise",)),
)


def world(seed, rows=5000):
    """Two columns that tell, one of them through two inputs; and one that does not."""
    random = np.random.default_rng(seed)
    a, b, noise = random.normal(size=(3, rows))
    near = a + random.normal(0, 0.3, rows)
    y = (random.random(rows) < 1 / (1 + np.exp(-(a + near + 1.5 * b - 1)))).astype(float)
    times = np.sort(random.integers(0, 40 * DAY, rows))
    return Labelled(Sample({"a_1h": a, "a_3h": near, "b": b, "noise": noise}, times), y)


def score(columns):
    z = columns["a_1h"] + columns["a_3h"] + 1.5 * columns["b"] - 1
    return 1 / (1 + np.exp(-z))


def broken(rows, *names, seed=9):
    order = np.random.default_rng(seed).permutation(len(rows))
    return rows.with_columns({name: rows.inputs.columns[name][order] for name in names})


def found(batch, reference, **extra):
    return {g.sources: g for g in gains(batch, reference, INPUTS, score, **extra)}


def test_inputs_are_grouped_by_their_source():
    assert grouped(INPUTS) == {
        ("feed.a",): ("a_1h", "a_3h"),
        ("table.b", "table.c"): ("b",),
        ("table.noise",): ("noise",),
    }
    assert grouped((InputColumn("x", "float"),)) == {("x",): ("x",)}


@pytest.mark.parametrize("names", [("a_1h", "a_3h"), ("b",)])
def test_a_broken_join_is_named_first(names):
    result = gains(broken(world(1), *names), world(2), INPUTS, score)
    assert result[0].inputs == names and result[0].adjusted_p < 1e-6
    assert result[0].kept < 0.1 * result[0].used
    assert result[0].gain.low > 0 and result[0].detectable < result[0].gain.value


def test_nothing_broken_is_silent_over_many_seeds():
    alarms = sum(
        any(g.adjusted_p <= 0.01 for g in gains(world(2 * s, 2000), world(2 * s + 1, 2000), INPUTS, score))
        for s in range(40)
    )
    assert alarms <= 2  # at 1 %


def test_draws_are_the_same_for_a_seed():
    assert gains(world(1), world(2), INPUTS, score, seed=3) == gains(world(1), world(2), INPUTS, score, seed=3)


def test_rows_are_bounded():
    asked = []

    def counted(columns):
        asked.append(len(columns["b"]))
        return score(columns)

    gains(world(1), world(2), INPUTS, counted, rows=500, draws=1)
    assert set(asked) == {500}


def test_flipped_labels_are_a_rival():
    batch = world(1)
    flip = np.random.default_rng(0).random(len(batch)) < 0.2
    wrong = replace(batch, outcomes=np.where(flip, 1 - batch.outcomes, batch.outcomes))
    scores = {r.name: r for r in rivals(wrong, world(2), score)}
    assert scores[LABELS].low > 0 and scores[LABELS].score > scores[WORLD].score
    assert {r.name: r.low < 0.005 for r in rivals(world(3), world(2), score)} == {LABELS: True, WORLD: True}


def test_a_changed_world_is_a_rival():
    batch = world(1, rows=12_000)
    z = -batch.inputs.columns["b"] * 2
    changed = (np.random.default_rng(0).random(len(batch)) < 1 / (1 + np.exp(-z))).astype(float)
    scores = {r.name: r for r in rivals(replace(batch, outcomes=changed), world(2, 12_000), score)}
    assert scores[WORLD].low > 0 and scores[WORLD].score > scores[LABELS].score


def commonly(batch, seed=2):
    measured = gains(batch, world(seed), INPUTS, score)
    lost = [g for g in measured if g.adjusted_p <= 0.01 and g.kept <= 0.5 * g.used]
    return common(lost, measured, rivals(batch, world(seed), score))


@pytest.mark.parametrize("seed", [1, 11, 21])
def test_wrong_labels_are_wrong_for_all_columns_and_a_broken_one_is_broken_alone(seed):
    batch = world(seed, rows=8000)
    random = np.random.default_rng(seed)
    for share in (0.3, 0.4):
        wrong = np.where(random.random(len(batch)) < share, 1 - batch.outcomes, batch.outcomes)
        kind, blamed = commonly(replace(batch, outcomes=wrong))
        assert kind == "labels" and {g.inputs for g in blamed} >= {("b",)}
    assert commonly(broken(batch, "b")) == (None, ())
    assert commonly(broken(batch, "a_1h", "a_3h")) == (None, ())
    assert commonly(batch) == (None, ())


def test_a_repair_is_measured_in_the_same_unit():
    whole = world(1)
    served = score(broken(whole, "b").inputs.columns)
    repair = recovered("b repaired", whole, served, score(whole.inputs.columns))
    assert repair.low > 0 and repair.low < repair.score < repair.high


def test_regression_uses_squared_error():
    random = np.random.default_rng(0)

    def made(seed):
        rows = world(seed)
        y = rows.inputs.columns["a_1h"] + rows.inputs.columns["b"] + random.normal(0, 0.1, len(rows))
        return replace(rows, outcomes=y)

    def linear(columns):
        return columns["a_1h"] + columns["b"]

    result = gains(broken(made(1), "b"), made(2), INPUTS, linear, task="regression")
    assert result[0].inputs == ("b",) and result[0].adjusted_p < 1e-6
