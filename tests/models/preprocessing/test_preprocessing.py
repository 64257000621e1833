"""The same matrix in numpy and in ONNX, bit for bit; fitted on training rows only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mainstem.models.artifact.scorer import session
from mainstem.models.data.rows import NULL
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import FAR, ForLinear, ForTrees, OneHot, Ordinal, Scaled


def through_onnx(fitted, floats, strings):
    builder = Builder()
    matrix = builder.cast(fitted.onnx(builder, "floats", "strings"), "DOUBLE")
    model = builder.model({"floats": floats.shape[1], "strings": strings.shape[1]}, matrix, ["rows", "columns"])
    feed = {"floats": floats, "strings": strings}
    return session(model).run(None, {name: block for name, block in feed.items() if block.shape[1]})[0]


@pytest.mark.parametrize("preprocessor", [ForLinear(), ForTrees()], ids=["linear", "trees"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_numpy_and_onnx_agree_exactly(preprocessor, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    any_float = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=False)
    train = data.draw(hnp.arrays(np.float32, (60, 3), elements=any_float))
    levels = data.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=4))
    texts = rng.choice(np.array([*levels, NULL, "a"], object), (60, 2))
    fitted = preprocessor.fit(train, texts, rng.random((60, 1)))
    floats = data.draw(hnp.arrays(np.float32, (8, 3), elements=any_float))
    strings = rng.choice(np.array([*levels, NULL, "a", "never seen", ""], object), (8, 2))
    ours = fitted.transform(floats, strings)
    assert ours.dtype == np.float32 and ours.shape == (8, len(fitted.origins))
    np.testing.assert_array_equal(ours, through_onnx(fitted, floats, strings))


def test_linear_inputs_are_finite_whatever_comes():
    train = np.array([[1.0, np.nan, 7.0], [3.0, 2.0, 7.0], [np.inf, 4.0, 7.0]] * 20, np.float32)
    fitted = Scaled.fit(train)
    wild = np.array([[np.inf, -np.inf, np.nan], [3.4e38, -3.4e38, np.inf], [np.nan, np.nan, -np.inf]], np.float32)
    matrix = fitted.transform(wild)
    assert np.isfinite(matrix).all() and np.abs(matrix).max() == FAR
    assert fitted.origins == (0, 1, 2, 1), "the second had gaps and gets an indicator"
    assert matrix[:, 3].tolist() == [0, 0, 1]


def test_trees_see_missing_only_where_training_did():
    train = np.array([[1.0, np.nan], [3.0, 2.0], [5.0, 4.0]] * 10, np.float32)
    fitted = ForTrees().fit(train, np.empty((30, 0), object), np.zeros((30, 1)))
    row = fitted.transform(np.array([[np.nan, np.nan]], np.float32), np.empty((1, 0), object))
    assert row[0, 0] == 3.0 and np.isnan(row[0, 1])


def test_rare_and_unknown_levels_are_one():
    texts = np.array(["a"] * 50 + ["b"] * 30 + [f"once {i}" for i in range(25)], object)[:, None]
    fitted = OneHot.fit(texts, 0, cap=100)
    assert fitted.levels[0].names == ("a", "b")
    coded = fitted.transform(np.array([["a"], ["b"], ["once 3"], ["new"], [NULL]], object))
    assert coded.argmax(1).tolist() == [0, 1, 2, 2, 2] and (coded.sum(1) == 1).all()


def test_levels_are_capped_at_the_most_frequent():
    texts = np.repeat([f"l{i:03d}" for i in range(150)], np.arange(20, 170)).astype(object)[:, None]
    fitted = OneHot.fit(texts, 0, cap=100)
    assert len(fitted.levels[0].names) == 100 and "l149" in fitted.levels[0].names
    assert "l049" not in fitted.levels[0].names


def test_null_is_a_level_like_any_other():
    texts = np.array([NULL] * 40 + ["a"] * 40, object)[:, None]
    assert set(OneHot.fit(texts, 0, cap=10).levels[0].names) == {NULL, "a"}


def test_codes_follow_the_smoothed_mean():
    texts = np.array(["low"] * 100 + ["high"] * 100 + ["mid"] * 100 + ["few"] * 10, object)[:, None]
    y = np.array([0.1] * 100 + [0.9] * 100 + [0.5] * 100 + [5.0] * 10)[:, None]
    level = Ordinal.fit(texts, y, 0, cap=10).levels[0]
    codes = dict(zip(level.names, level.codes, strict=True))
    assert codes["low"] < codes["mid"] < codes["high"]
    assert level.of(np.array([["few"]], object)).tolist() == [level.other]


def test_classes_are_ordered_along_their_first_component():
    texts = np.repeat(np.array(["x", "y", "z"], object), 100)[:, None]
    targets = np.zeros((300, 3))
    targets[:100, 0], targets[100:200, 1], targets[200:, 2] = 1, 1, 1
    targets[100:200] = [0.5, 0, 0.5]
    level = Ordinal.fit(texts, targets, 0, cap=10).levels[0]
    codes = dict(zip(level.names, level.codes, strict=True))
    assert codes["y"] in (1, 2) and {codes["x"], codes["z"]} & {0, 3}, "y lies between x and z"


def test_binary_order_is_the_same_from_indicators():
    rng = np.random.default_rng(0)
    texts = rng.choice(np.array(list("abcdefgh"), object), (2000, 1))
    y = (rng.random(2000) < np.array([ord(t) - 97 for t in texts[:, 0]]) / 8).astype(float)
    one = Ordinal.fit(texts, y[:, None], 0, cap=10).levels[0]
    both = Ordinal.fit(texts, np.column_stack([1 - y, y]), 0, cap=10).levels[0]
    assert one.names == both.names and one.codes in (both.codes, tuple(8 - c for c in both.codes))
