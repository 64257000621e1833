"""Nothing of the test is seen before it: splits by time, with a gap; groups and classes where there is no time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import DefinitionError, ModelError
from mainstem.models import splits

HOUR = 3_600_000_000
DAY = 24 * HOUR


def hourly(n: int, start: int = 0) -> np.ndarray:
    return start + np.arange(n, dtype=np.int64) * HOUR


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=200, max_size=400),
    st.floats(0.15, 0.5),
    st.integers(0, 30),
)
def test_training_ends_a_gap_before_the_test_begins(hours, share, gap):
    times = np.array(hours, np.int64) * HOUR
    if times.min() == times.max():
        return
    try:
        found = splits.split(times, np.zeros(len(times)), test=share, gap=f"{gap}h")
    except ModelError:
        return  # so many rows of one instant that a side is empty
    assert found.cut is not None
    assert times[found.train].max() < found.cut - gap * HOUR
    assert times[found.test].min() >= found.cut
    together = np.sort(np.concatenate([found.train, found.gap, found.test]))
    assert together.tolist() == list(range(len(times))), "each row is in one part"


def test_share_and_duration():
    times = hourly(1000)
    assert len(splits.split(times, times, test=0.2, gap="1h").test) == 200
    assert len(splits.split(times, times, test="2d", gap="0h").test) == 49, "both ends count"
    assert len(splits.split(times, times, test=0.2, gap="1d").gap) == 24


def test_order_of_rows_does_not_matter():
    times = hourly(500)
    shuffled = np.random.default_rng(0).permutation(500)
    straight = splits.split(times, times, test=0.2, gap="3h")
    mixed = splits.split(times[shuffled], times, test=0.2, gap="3h")
    assert set(shuffled[mixed.test]) == set(straight.test)
    assert set(shuffled[mixed.train]) == set(straight.train)


@given(st.integers(1, 5), st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_folds_expand_and_never_look_ahead(count, gap, seed):
    times = np.random.default_rng(seed).integers(0, 10_000, 800) * HOUR
    found = splits.folds(times, times, count=count, gap=f"{gap}h")
    assert len(found) == count
    for fold in found:
        assert times[fold.train].max() < times[fold.test].min() - gap * HOUR
    assert all(len(a.train) < len(b.train) for a, b in pairwise(found))
    tested = np.concatenate([fold.test for fold in found])
    assert len(set(tested)) == len(tested), "a row is predicted once"
    assert abs(len(tested) / 800 - count / (count + 1)) < 0.05


def test_without_time_classes_are_dealt_evenly():
    y = np.array([1] * 100 + [0] * 900)
    times = np.full(1000, 5, np.int64)
    found = splits.split(times, y, test=0.2, gap="1d")
    assert found.cut is None and y[found.test].sum() == 20 and len(found.test) == 200
    folds = splits.folds(times, y, count=4, gap="1d")
    assert [int(y[f.test].sum()) for f in folds] == [25] * 4
    assert sorted(np.concatenate([f.test for f in folds])) == list(range(1000))


def test_groups_stay_together():
    groups = np.random.default_rng(0).integers(0, 50, 1000)
    found = splits.by_group(groups, 0.2, seed=1)
    assert not set(groups[found.train]) & set(groups[found.test])
    assert len(set(groups[found.test])) == 10


def test_without_time_keys_that_repeat_stay_on_one_side():
    groups = np.random.default_rng(0).integers(0, 100, 1000)
    y, times = (np.arange(1000) % 3 == 0).astype(int), np.full(1000, 5, np.int64)
    found = splits.split(times, y, test=0.2, gap="1d", groups=groups)
    assert not set(groups[found.train]) & set(groups[found.test])
    folds = splits.folds(times, y, count=4, gap="1d", groups=groups)
    assert all(not set(groups[f.train]) & set(groups[f.test]) for f in folds)
    assert sorted(np.concatenate([f.test for f in folds])) == list(range(1000))
    alone = splits.split(times, y, test=0.2, gap="1d", groups=np.arange(1000))
    assert len(alone.test) == 200 and abs(y[alone.test].mean() - y.mean()) < 0.01  # stratified: no key repeats


@pytest.mark.parametrize("n", [0, 1, 10, 30])
def test_too_few_rows_is_a_clear_error(n):
    with pytest.raises(ModelError, match="too few labelled rows") as error:
        splits.split(hourly(n), np.zeros(n), test=0.2, gap="1h")
    assert f"at least {8 if n > 1 else 2}" in str(error.value) and "hint" in str(error.value)


def test_the_minimum_of_a_side_follows_the_rows():
    """50 daily rows are enough, with one fold inside; from 100 on, each side has 20."""
    times = np.arange(50, dtype=np.int64) * DAY
    found = splits.split(times, times, test=0.2, gap="1d")
    assert (len(found.train), len(found.gap), len(found.test)) == (39, 1, 10)
    (fold,) = splits.folds(times[found.train], times[found.train], count=3, gap="1d")
    assert (len(fold.train), len(fold.gap), len(fold.test)) == (18, 1, 20)
    with pytest.raises(ModelError, match="too few") as error:
        splits.split(hourly(100), np.zeros(100), test=0.19, gap="1h")
    assert "at least 20 on each side" in str(error.value)


def test_folds_are_fewer_where_rows_are_few():
    times = np.arange(80, dtype=np.int64) * DAY
    two = splits.folds(times, times, count=3, gap="1d")
    assert [(len(fold.train), len(fold.test)) for fold in two] == [(25, 27), (52, 27)], "three would learn from 19 rows"
    assert len(splits.folds(times, times, count=3, gap="0s")) == 3


@given(st.integers(0, 2**32 - 1), st.integers(0, 20))
def test_no_label_is_learned_from_that_was_unknown_when_the_test_begins(seed, gap):
    random = np.random.default_rng(seed)
    times = random.integers(0, 10_000, 800) * HOUR
    known = times + random.integers(0, 400, 800) * HOUR
    found = splits.split(times, times, test=0.2, gap=f"{gap}h", known=known)
    for each in (found, *splits.folds(times, times, count=3, gap=f"{gap}h", known=known)):
        assert known[each.train].max() < each.cut <= times[each.test].min()
    kept = (times < found.cut - gap * HOUR) & (known < found.cut)
    assert found.train.tolist() == np.flatnonzero(kept).tolist(), "other rows stay"
    assert sorted([*found.train, *found.gap, *found.test]) == list(range(800))


def test_a_gap_longer_than_the_data_is_a_clear_error():
    with pytest.raises(ModelError, match="too few") as error:
        splits.folds(hourly(200), np.zeros(200), count=3, gap="30d")
    assert "in the gap" in str(error.value)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 7.0])
def test_an_impossible_share(share):
    with pytest.raises(ModelError, match="between 0 and 1"):
        splits.split(hourly(100), np.zeros(100), test=share, gap="1h")


def test_a_duration_that_is_none():
    with pytest.raises(DefinitionError, match="not a duration"):
        splits.split(hourly(100), np.zeros(100), test="a while", gap="1h")


@given(st.integers(100, 3000), st.integers(50, 500), st.integers(0, 2**32 - 1))
def test_the_sample_prefers_the_latest_and_keeps_the_past(n, limit, seed):
    times = np.random.default_rng(seed).permutation(n).astype(np.int64)
    rows = splits.latest(times, limit, seed)
    assert len(rows) == min(n, limit) == len(set(rows)) and (np.diff(rows) > 0).all()
    if n >= 4 * limit:
        recent, old = (times[rows] >= n / 2).sum(), (times[rows] < n / 2).sum()
        assert recent > 2 * old > 0


@pytest.mark.parametrize(
    ("groups", "several"),
    [
        (None, False),
        ([], False),
        ([3, 1, 2], False),
        ([3, 1, 3], True),
        ([-5, 10**15, -5], True),
        ([-(2**62), 2**62], False),
        (["a", "b"], False),
        (["a", "a"], True),
    ],
)
def test_groups_have_several_rows(groups, several):
    assert splits.repeated(None if groups is None else np.array(groups)) is several
