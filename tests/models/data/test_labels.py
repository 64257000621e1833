"""The task follows the target's type; unlabelled is never negative."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from mainstem.errors import ModelError
from mainstem.models.data.labels import DEFAULT_METRIC, infer, labels
from mainstem.models.metrics import METRICS


@pytest.mark.parametrize(
    ("target", "task"),
    [
        ("boolean", "binary"),
        ("string", "multiclass"),
        ("int64", "regression"),
        ("float32", "regression"),
        ("decimal(9, 2)", "regression"),
    ],
)
def test_inferred(target, task):
    assert infer(target) == task


def test_an_instant_is_no_target():
    with pytest.raises(ModelError, match="unsupported type of target") as error:
        infer("timestamp('UTC', 6)")
    assert "timestamp" in str(error.value)


def test_default_metrics_judge_their_task():
    assert all(task in METRICS[name].tasks for task, name in DEFAULT_METRIC.items())


def test_null_is_unlabelled():
    found = labels(pa.chunked_array([[True, None, False], [None, True]]), "binary")
    assert found.known.tolist() == [True, False, True, False, True]
    assert found.y.tolist() == [1, 0, 1] and found.classes == ("false", "true")


def test_nan_and_infinity_are_unlabelled():
    found = labels(pa.array([1.5, None, float("nan"), float("inf"), -2.0]), "regression")
    assert found.known.tolist() == [True, False, False, False, True] and found.y.tolist() == [1.5, -2.0]


@pytest.mark.parametrize(("task", "classes"), [("binary", ("0", "1")), ("multiclass", ("0", "1"))])
def test_nan_and_infinity_are_not_classes(task, classes):
    found = labels(pa.array([1.0, float("nan"), 0.0, None, float("inf"), 1.0]), task)
    assert found.classes == classes and found.y.tolist() == [1, 0, 1]
    assert found.known.tolist() == [True, False, True, False, False, True]


def test_integers_and_decimals_are_values():
    assert labels(pa.array([3, None, 4]), "regression").y.tolist() == [3.0, 4.0]
    from decimal import Decimal

    assert labels(pa.array([Decimal("1.25"), None, Decimal("2")]), "regression").y.tolist() == [1.25, 2.0]


def test_an_integer_that_no_float_has_is_the_nearest_one():
    target = pa.chunked_array([[2**60 + 1, 2**61, 5]])
    assert labels(target, "regression").y.tolist() == [float(2**60), float(2**61), 5.0]


def test_classes_are_sorted_texts():
    found = labels(pa.array(["b", "ä", "a", None, "b"]), "multiclass")
    assert found.classes == ("a", "b", "ä") and found.y.tolist() == [1, 2, 0, 1]
    assert found.y.dtype == np.int64


def test_zero_and_one_may_be_binary():
    assert labels(pa.array([0, 1, 1]), "binary").y.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("target", "task", "message"),
    [
        (pa.array([None, None], pa.bool_()), "binary", "no row has a known target"),
        (pa.array([], pa.bool_()), "binary", "no row has a known target"),
        (pa.array([True, True, None]), "binary", "only one class"),
        (pa.array([2.0, 2.0]), "regression", "constant"),
        (pa.array(["x", "x"]), "multiclass", "only one class"),
        (pa.array([0, 1, 2]), "binary", "two values"),
        (pa.array([str(i) for i in range(101)]), "multiclass", "too many classes"),
    ],
)
def test_nothing_to_learn_from(target, task, message):
    with pytest.raises(ModelError, match=message):
        labels(target, task)


@pytest.mark.parametrize(
    ("texts", "task", "got"),
    [
        (["true", "NaN", "false"], "binary", "'NaN' in 1 of 3 rows"),
        (["a", "b", "nan", "nan"], "multiclass", "'nan' in 2 of 4 rows"),
        (["a", "", "b", " "], "multiclass", "'' in 1, ' ' in 1 of 4 rows"),
        (["a", "N/A", "b", "NULL"], "multiclass", "'N/A' in 1, 'NULL' in 1 of 4 rows"),
    ],
)
def test_a_text_for_a_missing_target_is_no_class(texts, task, got):
    with pytest.raises(ModelError, match="stand for a missing value") as error:
        labels(pa.array(texts), task)
    assert error.value.got == got and 'options={"nulls": {"COLUMN": [' in error.value.hint


def test_a_text_that_may_be_a_class_is_one():
    assert labels(pa.array(["none", "mild", None, "-"]), "multiclass").classes == ("-", "mild", "none")
