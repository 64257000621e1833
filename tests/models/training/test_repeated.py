"""Rows that stand in several parts of a split."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from mainstem.models.data.rows import NULL, Examples, Rows
from mainstem.models.splits import Split
from mainstem.models.training.parts import Parts
from mainstem.models.training.repeated import alike, hashes, shared


def examples(floats, strings, y) -> Examples:
    floats, strings = np.array(floats, np.float32), np.array(strings, object)
    return Examples(Rows(floats, strings), np.array(y), np.zeros(len(y), np.int64), "binary")


def prepared(found: Examples, parts: Parts):
    return SimpleNamespace(examples=found, parts=parts)


ROWS = examples(
    [[1.0, np.nan], [1.0, np.nan], [np.nan, 1.0], [1.0, np.nan], [-0.0, 2.0], [0.0, 2.0]],
    [["a"], ["a"], ["a"], ["b"], [NULL], [NULL]],
    [0, 0, 0, 0, 1, 1],
)
EMPTY = np.empty(0, np.intp)


def test_rows_are_the_same_in_all_inputs_and_in_the_target():
    found = hashes(ROWS)
    assert found[0] == found[1] and found[4] == found[5], "missing is missing, and −0 is 0"
    assert len(set(found[[0, 2, 3, 4]].tolist())) == 4, "the place of a value counts"
    other = hashes(examples(ROWS.rows.floats, ROWS.rows.strings, [1, 0, 0, 0, 1, 1]))
    assert other[0] != found[0] and (other[1:] == found[1:]).all()


def test_test_rows_that_stand_in_training_are_counted():
    parts = Parts("by time", Split(np.array([0, 2, 4]), np.array([1, 3, 5]), EMPTY))
    assert shared(prepared(ROWS, parts)) == 2
    assert alike(prepared(ROWS, parts)) == 0


def test_rows_of_several_folds_are_counted_on_both_sides():
    folds = (Split(np.array([2, 3, 4, 5]), np.array([0, 1]), EMPTY), Split(np.array([0, 1]), np.arange(2, 6), EMPTY))
    assert alike(prepared(ROWS, Parts("at random", folds=folds))) == 0, "alike rows of one fold are no harm"
    folds = (
        Split(np.array([1, 3, 5]), np.array([0, 2, 4]), EMPTY),
        Split(np.array([0, 2, 4]), np.array([1, 3, 5]), EMPTY),
    )
    assert alike(prepared(ROWS, Parts("at random", folds=folds))) == 4
    assert shared(prepared(ROWS, Parts("at random", folds=folds))) == 0


def test_a_million_random_rows_all_differ():
    random = np.random.default_rng(0)
    rows = Rows(random.integers(0, 1000, (1_000_000, 3)).astype(np.float32), np.empty((1_000_000, 0), object))
    found = hashes(Examples(rows, np.zeros(1_000_000), np.zeros(1_000_000, np.int64), "regression"))
    assert len(np.unique(found)) == len(np.unique(rows.floats @ np.array([1e6, 1e3, 1.0])))


def test_texts_are_numbered_in_the_order_of_their_first_row():
    from mainstem.models.training.repeated import _bits

    column = np.array(["b", "a", "b", "", "é ✈", "a"], object)
    assert _bits(column).tolist() == [0, 1, 0, 2, 3, 1]
