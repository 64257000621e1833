"""The mean target of a level: out of fold in training, and no way for the target to leak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mainstem as ms
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.metrics import METRICS
from mainstem.models.preprocessing import LINEAR, TREES, fit
from mainstem.nodes.prepare import Target


def examples_of(texts, y, task="binary", classes=0, **more):
    rows = Rows(np.empty((len(y), 0), np.float32), np.asarray(texts, object)[:, None])
    return Examples(rows, np.asarray(y), np.zeros(len(y), np.int64), task, classes, prepare=(Target(),), **more)


def random_ids(rows=4_000, levels=1_500, seed=0):
    """Return a text of many levels that says nothing about the target."""
    random = np.random.default_rng(seed)
    return [f"id {i}" for i in random.integers(0, levels, rows)], random.integers(0, 2, rows)


def auc(y, scores):
    return METRICS["roc_auc"].value(y, np.asarray(scores, float))


def test_a_random_text_tells_nothing_in_training():
    texts, y = random_ids()
    examples = examples_of(texts, y)
    fitted, matrix = fit(examples, LINEAR)
    naive = fitted.transform(examples.rows.floats, examples.rows.strings)
    assert auc(y, naive[:, 0]) > 0.75, "with their own targets, levels of two or three rows look certain"
    assert auc(y, matrix[:, 0]) < 0.53, "out of fold they do not"


ALGORITHMS = [ms.linear(), ms.lightgbm(), ms.random_forest(n_estimators=20)]


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
def test_a_model_of_a_random_text_is_no_better_on_what_it_learns_from(algorithm):
    """The columns that a model learns from: neither ranks nor trees find the target in them."""
    texts, y = random_ids()
    noise = np.random.default_rng(1).normal(size=(len(y), 1)).astype(np.float32)
    examples = examples_of(texts, y)
    examples = replace(examples, rows=Rows(noise, examples.rows.strings), prepare=(None, Target()))
    _, matrix = fit(examples, TREES)
    learned = replace(examples, rows=Rows(matrix, examples.rows.strings[:, :0]), prepare=())
    half = np.arange(len(y)) < len(y) // 2
    past, future = (learned.take(np.flatnonzero(each)) for each in (half, ~half))
    assert abs(auc(future.y, algorithm.fit(past).scores(future.rows)) - 0.5) < 0.05
    others, outcomes = random_ids(seed=5)
    fresh = Rows(np.zeros((len(others), 1), np.float32), np.array(others, object)[:, None])
    assert abs(auc(outcomes, algorithm.fit(examples).scores(fresh)) - 0.5) < 0.05


def test_the_mean_is_smoothed_to_that_of_all_rows():
    texts, y = ["a"] * 30 + ["b"] * 60 + ["once"], np.array([1] * 30 + [0] * 60 + [1])
    examples = examples_of(texts, y)
    fitted, _ = fit(examples, LINEAR)
    asked = np.array([["a"], ["b"], ["once"], ["?"]], object)
    a, b, once, unknown = fitted.transform(np.empty((4, 0), np.float32), asked)[:, 0]
    assert a > unknown > b and once == unknown
    prior = y.mean()
    expected = [(30 + 20 * prior) / 50, (0 + 20 * prior) / 80, prior]
    assert (a - unknown) / (unknown - b) == pytest.approx((expected[0] - prior) / (prior - expected[1]), rel=1e-5)


def test_each_row_has_the_mean_of_the_other_folds():
    texts, y = ["a"] * 50, np.arange(50.0)
    texts[40:] = ["b"] * 10
    examples = examples_of(texts, y, "regression")
    fitted, matrix = fit(examples, LINEAR)
    means = fitted.parts[0]
    full = means.values[0][:, 0]
    assert len(np.unique(matrix[:40, 0])) == 5, "one value for each fold"
    assert not np.isclose(matrix[:40, 0], full[0]).any(), "none is the mean of all"


def test_rows_of_a_group_are_in_the_same_fold():
    texts, y = random_ids(400, 20)
    examples = examples_of(texts, y, groups=np.arange(400) // 10)
    _, matrix = fit(examples, LINEAR)
    by_level = {(text, group): set() for text, group in zip(texts, examples.groups, strict=True)}
    for text, group, value in zip(texts, examples.groups, matrix[:, 0], strict=True):
        by_level[text, group].add(float(value))
    assert all(len(values) == 1 for values in by_level.values())


def test_each_class_has_a_column():
    texts, y = ["a"] * 30 + ["b"] * 30 + ["c"] * 30, np.repeat([0, 1, 2], 30)
    fitted, matrix = fit(examples_of(texts, y, "multiclass", 3), LINEAR)
    assert matrix.shape == (90, 3) and fitted.origins == (0, 0, 0)
    rows = fitted.transform(np.empty((3, 0), np.float32), np.array([["a"], ["b"], ["c"]], object))
    assert rows.argmax(1).tolist() == [0, 1, 2]


def test_rows_count_by_their_weight():
    texts, y = ["a"] * 20 + ["b"] * 20, np.array([0, 1] * 20)
    light = examples_of(texts, y)
    heavy = replace(light, weights=np.where((np.arange(40) < 20) & (y == 1), 5.0, 1.0))
    rows = np.array([["a"], ["b"]], object), np.empty((2, 0), np.float32)
    same, more = (fit(each, LINEAR)[0].transform(rows[1], rows[0])[:, 0] for each in (light, heavy))
    assert same[0] == pytest.approx(same[1]) and more[0] > more[1]


def test_levels_of_one_row_are_left_out():
    fitted, matrix = fit(examples_of([f"id {i}" for i in range(50)], np.arange(50) % 2), LINEAR)
    assert matrix.shape == (50, 0)
    assert fitted.left == {0: "left out: rare everywhere, no level has 2 of 50 rows"}
