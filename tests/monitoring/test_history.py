"""Stretches of a history, and what counts as one witness."""

import numpy as np

from mainstem.monitoring.history import DAY, MOST, clusters, stretch, stretches


def test_stretches_cover_history_back_from_its_end():
    times = np.arange(0, 100 * DAY, DAY // 10)
    parts = list(stretches(times, 7 * DAY))
    assert sum(len(p) for p in parts) >= len(times) - 70
    assert max(times[p].max() - times[p].min() for p in parts) < 7 * DAY


def test_at_most_so_many_stretches_and_none_of_few_rows():
    assert len(list(stretches(np.arange(0, 1000 * DAY, DAY // 100), DAY))) == MOST
    assert list(stretches(np.arange(0, 10 * DAY, DAY), DAY)) == []
    assert list(stretches(np.array([], np.int64), DAY)) == []


def test_a_stretch_is_as_long_as_the_partition_but_at_most_a_week_and_a_dozen_fit():
    assert stretch(DAY, 365 * DAY) == DAY
    assert stretch(31 * DAY, 365 * DAY) == 7 * DAY
    assert stretch(31 * DAY, 60 * DAY) == 5 * DAY


def test_days_are_witnesses_and_hours_where_days_are_few():
    month = np.arange(0, 30 * DAY, DAY // 4)
    assert len(np.unique(clusters(month))) == 30
    day = np.arange(0, DAY, DAY // 240)
    assert len(np.unique(clusters(day))) == 24
    assert len(np.unique(clusters(np.zeros(5, np.int64)))) == 5
