"""What each class has, and which are confused, from a confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from mainstem.models.versions.classes import by_class, confused


def test_each_class_has_the_values_of_scikit_learn():
    random = np.random.default_rng(0)
    y = random.integers(0, 4, 500)
    guess = np.where(random.random(500) < 0.6, y, random.integers(0, 3, 500))  # class 3 is decided for by luck alone
    found = by_class("abcd", sk.confusion_matrix(y, guess).tolist())
    expected = sk.precision_recall_fscore_support(y, guess)
    for name, values in zip(("precision", "recall", "f1", "rows"), expected, strict=True):
        assert [getattr(each, name) for each in found] == pytest.approx(values.tolist())
    assert [each.decided for each in found] == np.bincount(guess).tolist()


def test_a_class_without_rows_or_decisions_has_no_share():
    never, absent = by_class("abc", [[0, 4, 0], [0, 6, 0], [0, 0, 0]])[0::2]
    assert (never.precision, never.recall, never.f1) == (None, 0.0, 0.0)
    assert (absent.precision, absent.recall, absent.f1) == (None, None, None)
    assert by_class(("false", "true"), [[3, 1], [2, 4]]) == () == by_class((), ())


def test_many_classes_have_their_most_confused_pairs():
    matrix = np.diag(np.full(13, 50))
    matrix[3, 7], matrix[7, 3], matrix[0, 12] = 25, 10, 1
    names = [f"c{number}" for number in range(13)]
    found = confused(names, matrix.tolist())
    assert [(each.truth, each.decided, each.rows) for each in found] == [
        ("c3", "c7", 25),
        ("c7", "c3", 10),
        ("c0", "c12", 1),
    ]
    assert found[0].share == pytest.approx(25 / 75)
    assert confused(names[:12], matrix[:12, :12].tolist()) == ()
