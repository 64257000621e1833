"""Groups, groups by time, windows, and splits that the user gives: what each keeps apart."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import ModelError
from mainstem.models import splits

HOUR = 3_600_000_000
SEEDS = st.integers(0, 2**32 - 1)


def all_of(found: splits.Split) -> list[int]:
    return sorted(np.concatenate([found.train, found.test, found.gap]).tolist())


@given(SEEDS, st.integers(5, 200), st.booleans())
def test_no_group_is_on_both_sides_of_a_split_by_time(seed, groups, lasting):
    random = np.random.default_rng(seed)
    times = np.arange(1000, dtype=np.int64) * HOUR
    group = random.integers(0, groups, 1000) if lasting else np.arange(1000) * groups // 1000
    found = splits.split(times, times, test=0.3, gap="0s", seed=seed, groups=group)
    assert not set(group[found.train]) & set(group[found.test])
    assert found.cut is not None and times[found.train].max() < found.cut <= times[found.test].min()
    assert all_of(found) == list(range(1000)), "rows that are left out are in the gap"
    assert len(found.train) > 250, "groups that last do not empty the training"
    for fold in splits.folds(times, times, count=3, gap="0s", seed=seed, groups=group):
        assert not set(group[fold.train]) & set(group[fold.test])
        assert times[fold.train].max() < times[fold.test].min()


def test_a_window_forgets_the_distant_past():
    times = np.arange(1000, dtype=np.int64) * HOUR
    sliding = splits.folds(times, times, count=4, gap="5h", window="100h")
    assert [len(fold.train) for fold in sliding] == [100] * 4
    assert all(times[f.test].min() - times[f.train].max() == 6 * HOUR for f in sliding)


def test_rows_older_than_a_window_choose_nothing_of_the_test():
    """Older rows choose the candidate, so their labels must be known at the cut, and their groups not tested."""
    times = np.arange(1000, dtype=np.int64) * HOUR
    known = times.copy()
    known[10] = times[-1] + 1
    found = splits.split(times, times, test=0.2, gap="5h", window="100h", known=known)
    assert 10 in found.gap and 10 not in found.older and 11 in found.older
    groups = np.where(np.arange(1000) % 10 == 3, "late", np.arange(1000).astype(str))
    apart = splits.split(times, times, test=0.2, gap="5h", window="100h", groups=groups)
    tested = set(groups[apart.test])
    assert tested.isdisjoint(groups[apart.older]) and tested.isdisjoint(groups[apart.train])
    parts = np.concatenate([apart.train, apart.older, apart.gap, apart.test])
    assert sorted(parts.tolist()) == list(range(1000))


def test_a_window_cuts_the_training_of_the_test_too():
    times = np.arange(1000, dtype=np.int64) * HOUR
    found = splits.split(times, times, test=0.2, gap="5h", window="100h")
    assert (len(found.older), len(found.train), len(found.gap), len(found.test)) == (695, 100, 5, 200)
    assert times[found.train].max() < found.cut - 5 * HOUR <= times[found.train].max() + HOUR


@given(SEEDS, st.integers(20, 120))
def test_small_tables_are_split_by_class(seed, rows):
    y = np.random.default_rng(seed).permutation(np.arange(rows) % 4 == 0).astype(int)
    folds = splits.folds(np.zeros(rows, np.int64), y, count=5, gap="0s", seed=seed)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(rows))
    counts = [int(y[fold.test].sum()) for fold in folds]
    assert max(counts) - min(counts) <= 1, "the rarer class is spread evenly"


def test_numbers_that_all_differ_are_not_classes():
    found = splits.stratified(np.arange(40.0), 0.15, 0)
    assert len(found.test) == 6


def test_parts_by_name_and_by_truth_value():
    found = splits.given(["train", "test", None, "validation", "train"])
    assert found.split is not None and found.validation is not None
    assert (found.split.train.tolist(), found.split.test.tolist(), found.split.gap.tolist()) == ([0, 3, 4], [1], [2])
    assert found.validation.tolist() == [False, False, False, True, False]
    truth = splits.given([False, True, None, False])
    assert truth.split is not None and truth.split.test.tolist() == [1] and truth.validation is None


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Validation", "Test"),
        ("TRAIN", "VAL", "TEST"),
        ("training", "valid", "testing"),
        (" train ", "validation", "test "),
    ],
)
def test_parts_are_read_in_any_case_and_in_the_usual_spellings(train, validation, test):
    found = splits.given([train, test, validation, train])
    assert found.split is not None and found.validation is not None
    assert (found.split.train.tolist(), found.split.test.tolist()) == ([0, 2, 3], [1])
    assert found.validation.tolist() == [False, False, True, False]
    texts = splits.given(["False", "True", "False"])
    assert texts.split is not None and texts.split.test.tolist() == [1]


def test_folds_by_number_or_name():
    assert splits.given([2, 1, None, 2]).folds.tolist() == [1, 0, -1, 1]
    assert splits.given(["north", "south", "north"]).folds.tolist() == [0, 1, 0]
    assert splits.given(["west", "east", "north"]).folds.tolist() == [2, 0, 1], "west is not a part, though like one"
    assert splits.given([0, 1, 2]).folds.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (["train", "test", "tset"], "'tset' beside parts"),
        (["train", "train"], "no row of the test"),
        (["test", "validation"], "no row of the training"),
        (["Train", "tset"], "'tset' beside parts"),
        (["trian", "tset"], "'tset', which is almost 'test' and 'trian', which is almost 'train'"),
        (
            ["test set", "training set"],
            "'test set', which is almost 'test' and 'training set', which is almost 'train'",
        ),
        ([0, 1, 1, None], "the numbers 0 and 1, which are two folds or mark the test"),
        ([0.5, 0.25], "0.25"),
        ([1, 1, 1], "1 distinct values"),
        (list(range(30)), "30 distinct values"),
    ],
)
def test_other_values_are_refused(values, got):
    with pytest.raises(ModelError, match="does not name parts") as error:
        splits.given(values)
    assert error.value.got == got


def test_folds_may_be_whole_floats_as_beside_missing_values():
    """Frames turn a column of whole numbers into floats where one is missing."""
    whole = splits.given([1, 2, 3, None, 1])
    for other in ([1.0, 2.0, 3.0, float("nan"), 1.0], [Decimal("1.0"), Decimal(2), Decimal(3), None, Decimal(1)]):
        assert splits.given(other).folds.tolist() == whole.folds.tolist() == [0, 1, 2, -1, 0]
    with pytest.raises(ModelError, match="does not name parts"):
        splits.given([1.5, 2.0, 3.0])
    with pytest.raises(ModelError, match="does not name parts"):
        splits.given([0.0, 1.0])


def test_a_group_with_nearly_all_rows_is_named_as_the_cause():
    groups = np.array([0] * 474 + [1, 2, 3, 4] * 5 + [5] * 6)
    with pytest.raises(ModelError, match="too few labelled rows") as refused:
        splits.folds(np.zeros(500, np.int64), np.arange(500) % 2, count=5, gap="0s", seed=1, groups=groups)
    assert "to test on" in str(refused.value.got) and "none has nearly all rows" in str(refused.value.hint)
