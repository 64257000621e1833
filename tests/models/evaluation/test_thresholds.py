"""A threshold is the best that its rule allows on the validation rows, as trying every one shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.errors import DefinitionError, ModelError
from mainstem.models.evaluation.thresholds import settled


@st.composite
def validation(draw):
    rows = draw(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0])), min_size=4))
    y = np.array([0, 1, *(int(truth) for truth, _ in rows)])
    return y, np.array([0.3, 0.5, *(score for _, score in rows)])


def every(y, scores):
    """Precision, recall, fallout and flagged of each distinct decision."""
    for threshold in np.unique(scores):
        flagged = scores >= threshold
        yield y[flagged].mean(), flagged[y == 1].mean(), flagged[y == 0].mean(), flagged.mean(), flagged


@settings(deadline=None)
@given(validation(), st.floats(0, 9), st.floats(0.1, 9))
def test_the_cost_is_the_lowest(case, alarm, miss):
    y, scores = case
    found = settled(ms.threshold(cost={"false_positive": alarm, "false_negative": miss}), y, scores)
    costs = [alarm * (f & (y == 0)).mean() + miss * (~f & (y == 1)).mean() for *_, f in every(y, scores)]
    costs += [miss * y.mean()] if scores.max() < 1 else []
    assert found.expected["cost"] == pytest.approx(min(costs))
    flagged = scores >= found.value
    assert found.expected["flagged"] == pytest.approx(flagged.mean()) and found.rows == len(y)


def test_no_row_is_flagged_where_each_alarm_costs_more_than_it_saves():
    y, scores = np.array([0, 1, *[0] * 70, *[1] * 30]), np.array([0.05, 0.05, *[0.3] * 100])
    found = settled(ms.threshold(cost={"false_positive": 10, "false_negative": 1}), y, scores)
    assert 0.3 < found.value < 1 and found.expected["flagged"] == 0
    assert found.expected["cost"] == pytest.approx(31 / 102)


@settings(deadline=None)
@given(validation(), st.sampled_from(["precision", "recall", "fallout", "flagged"]), st.floats(0.05, 0.95))
def test_a_bound_is_kept_with_the_most_of_the_other(case, measure, bound):
    y, scores = case
    places = {"precision": 0, "recall": 1, "fallout": 2, "flagged": 3}
    least = measure in ("precision", "recall")
    aim = 0 if measure == "recall" else 1
    allowed = [
        each[aim]
        for each in every(y, scores)
        if each[1] > 0 and (each[places[measure]] >= bound if least else each[places[measure]] <= bound)
    ]
    rule = ms.threshold(f"{measure} {'>=' if least else '<='} {bound}")
    if not allowed:
        with pytest.raises(ModelError, match="no threshold keeps") as error:
            settled(rule, y, scores)
        assert "at best" in error.value.got
        return
    found = settled(rule, y, scores)
    assert found.expected["precision" if aim == 0 else "recall"] == pytest.approx(max(allowed))
    assert found.expected[measure] >= bound if least else found.expected[measure] <= bound


def test_a_number_is_the_threshold():
    found = settled(0.4, np.array([0, 1, 1, 0]), np.array([0.1, 0.4, 0.9, 0.5]))
    assert found.value == 0.4 and found.expected["recall"] == 1 and found.expected["precision"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((), {}, "needs a constraint or `cost`"),
        (("precision >= 0.8",), {"cost": {"false_positive": 1}}, "needs a constraint or `cost`"),
        (("precision > 0.8",), {}, "cannot be read"),
        (("precison >= 0.8",), {}, "did you mean 'precision'"),
        (("precision <= 0.8",), {}, "the other way"),
        (("recall >= 1.5",), {}, "above 0 and below 1"),
        (("recall >= 1e",), {}, "cannot be read"),
        ((), {"cost": {"false_negatives": 5}}, "did you mean 'false_negative'"),
        ((), {"cost": {"false_negative": "much"}}, "must be a number"),
        ((), {"cost": {"false_negative": 0}}, "costs nothing"),
    ],
)
def test_a_rule_that_cannot_be_meant(arguments, options, said):
    with pytest.raises(DefinitionError) as error:
        ms.threshold(*arguments, **options)
    assert said in str(error.value) and "test_thresholds.py" in str(error.value.where)
