"""An input that is the target in disguise is found; one that is merely good is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mainstem.errors import LeakError
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.training import suspects
from mainstem.nodes.records import InputColumn

INPUTS = (InputColumn("good", "float"), InputColumn("disguised", "float"), InputColumn("text", "string"))


def examples(task: str, disguised, y, good=None, text=None) -> Examples:
    n = len(y)
    rng = np.random.default_rng(5)
    floats = np.column_stack([rng.normal(0, 1, n) if good is None else good, disguised]).astype(np.float32)
    texts = np.array(rng.choice(list("abc"), n) if text is None else text, object)[:, None]
    return Examples(Rows(floats, texts), y, np.arange(n), task, 3 if task == "multiclass" else 0)


def named(found: Examples) -> dict[str, float]:
    return dict(suspects.strengths(found, INPUTS, INPUTS))


def test_a_number_that_the_target_is_cut_from_is_refused_unless_vouched_for():
    delay = np.random.default_rng(0).normal(0, 30, 4_000)
    found = examples("binary", delay + 3, (delay > 15).astype(int))
    with pytest.raises(LeakError) as error:
        suspects.refuse(found, INPUTS, {})
    assert "'disguised' probably leaks" in str(error.value) and 'assume_known={"disguised": "…"}' in str(error.value)
    suspects.refuse(found, INPUTS, {"disguised": "the label is a rule over it"})


def test_missing_only_when_it_happened_is_seen_too():
    y = (np.random.default_rng(1).random(2_000) < 0.2).astype(int)
    arrived = np.where(y == 1, np.nan, np.random.default_rng(2).normal(0, 1, 2_000))
    assert named(examples("binary", arrived, y))["disguised"] == 1.0


def test_a_text_that_names_the_class_is_refused():
    y = np.random.default_rng(3).integers(0, 3, 3_000)
    found = examples("multiclass", np.zeros(3_000), y, text=[f"code {k + 7}" for k in y])
    assert named(found)["text"] == 1.0
    with pytest.raises(LeakError, match="'text' probably leaks"):
        suspects.refuse(found, INPUTS, {})


def test_a_scaled_value_of_a_regression_is_refused():
    y = np.random.default_rng(4).lognormal(0, 2, 3_000)
    with pytest.raises(LeakError, match="rank correlation"):
        suspects.refuse(examples("regression", -y / 7, y), INPUTS, {})


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_a_good_input_is_no_suspect(noise):
    rng = np.random.default_rng(6)
    signal = rng.normal(0, 1, 5_000)
    found = examples("binary", signal + rng.normal(0, noise, 5_000), (signal > 1).astype(int))
    assert 0.8 < named(found)["disguised"] < suspects.SUSPICIOUS
    suspects.refuse(found, INPUTS, {})
    suspects.refuse(replace(found, y=signal, task="regression"), INPUTS, {})


def test_a_text_of_its_own_in_every_row_says_nothing():
    y = (np.random.default_rng(7).random(2_000) < 0.5).astype(int)
    found = examples("binary", np.zeros(2_000), y, text=[f"id {i}" for i in range(2_000)])
    assert named(found)["text"] == 0.5


def test_few_rows_cannot_tell():
    y = np.arange(100) % 2
    assert named(examples("binary", y.astype(float), y)) == {}


def test_what_tells_a_group_is_judged_on_other_groups():
    """A value that never changes within a patient tells the target of the patient's other rows, and nothing else."""
    rng = np.random.default_rng(6)
    patient = np.repeat(np.arange(60), 20)
    weight, sick = rng.normal(70, 10, 60)[patient], rng.integers(0, 2, 60)[patient]
    found = examples("binary", weight, sick)
    assert named(found)["disguised"] > 0.99
    assert named(replace(found, groups=patient))["disguised"] < 0.8
    assert named(replace(examples("binary", sick + 1, sick), groups=patient))["disguised"] == 1.0


def test_rows_in_an_order_that_alternates_are_divided_at_random():
    """The rare classes have the even numbers, so that every other row has none of them."""
    rng = np.random.default_rng(7)
    x = rng.random(600)
    y = (x > 0.65).astype(int)
    y[np.arange(0, 60, 2)] = 2
    found = named(examples("multiclass", x, y))
    assert found["disguised"] < 0.9


def test_a_sample_of_a_long_table_tells_a_leak(monkeypatch):
    monkeypatch.setattr(suspects, "MOST_ROWS", 1_000)
    delay = np.random.default_rng(0).normal(0, 30, 4_000)
    with pytest.raises(LeakError):
        suspects.refuse(examples("binary", delay + 3, (delay > 15).astype(int)), INPUTS, {})
    noisy = delay + np.random.default_rng(1).normal(0, 10, 4_000)
    suspects.refuse(examples("binary", noisy, (delay > 15).astype(int)), INPUTS, {})
