"""The same matrix in numpy and in ONNX; fitted on training rows only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mainstem.models.artifact.gate import EXTREMES, LEVELS
from mainstem.models.artifact.scorer import session
from mainstem.models.data.rows import NULL, Examples, Rows
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import BAYES, FAR, LINEAR, TREES, Indicators, Numbers, Ordinal, fit
from mainstem.nodes import prepare
from mainstem.nodes.prepare import Hashed, Number, OneHot, Target

NUMBERS = [
    None,
    *(
        Number(missing, scale, indicator)
        for missing, scale, indicator in [
            ("median", "standard", True),
            ("mean", "min-max", False),
            ("mode", "robust", True),
            (-7.5, "log", True),
            (3e38, "quantile", True),
            ("mean", "as-is", True),
            (None, "log", None),
            (None, "quantile", None),
        ]
    ),
]
TEXTS = [None, OneHot(2, 1), OneHot(), prepare.Ordinal(3, 2), Target(), Target(0.5, 2), Hashed(2), Hashed(7)]


def examples_of(floats, strings, y=None, task="regression", prepared=(), **more):
    rows = Rows(floats, strings)
    y = np.arange(len(rows), dtype=float) if y is None else y
    return Examples(rows, y, np.zeros(len(rows), np.int64), task, prepare=prepared, **more)


def texts_of(values):
    return np.array(values, object)[:, None]


NO_FLOATS, NO_STRINGS = np.empty((0, 0), np.float32), np.empty((0, 0), object)


def through_onnx(fitted, floats, strings):
    builder = Builder()
    matrix = builder.cast(fitted.onnx(builder, "floats", "strings"), "DOUBLE")
    model = builder.model({"floats": floats.shape[1], "strings": strings.shape[1]}, matrix, ["rows", "columns"])
    feed = {"floats": floats, "strings": strings}
    return session(model).run(None, {name: block for name, block in feed.items() if block.shape[1]})[0]


@pytest.mark.parametrize("usual", [LINEAR, TREES, BAYES], ids=["linear", "trees", "bayes"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_numpy_and_onnx_agree(usual, data):
    """Of every step, with any numbers and texts in training and in what comes, bit by bit but for logarithms."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    any_float = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=False)
    rows = data.draw(st.sampled_from([1, 2, 7, 60]))
    train = data.draw(hnp.arrays(np.float32, (rows, 3), elements=any_float))
    levels = data.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=4))
    texts = rng.choice(np.array([*levels, NULL, "a"], object), (rows, 2))
    steps = [data.draw(st.sampled_from(NUMBERS)) for _ in range(3)] + [data.draw(st.sampled_from(TEXTS)) for _ in "ab"]
    task = data.draw(st.sampled_from(["regression", "binary", "multiclass"]))
    y = rng.random(rows) if task == "regression" else rng.integers(0, 2 if task == "binary" else 4, rows)
    fitted, matrix = fit(examples_of(train, texts, y, task, tuple(steps), classes=4), usual)
    assert matrix.dtype == np.float32 and matrix.shape == (rows, len(fitted.origins)) == (rows, len(fitted.rising))
    floats = np.vstack([data.draw(hnp.arrays(np.float32, (8, 3), elements=any_float)), np.tile(EXTREMES, (3, 1)).T])
    strings = rng.choice(np.array([*levels, *LEVELS, "a", "never seen"], object), (len(floats), 2))
    ours = fitted.transform(floats, strings)
    assert ours.dtype == np.float32 and ours.shape == (len(floats), len(fitted.origins))
    if not fitted.origins:
        return
    theirs = through_onnx(fitted, floats, strings)
    assert through_onnx(fitted, floats[:0], strings[:0]).shape == fitted.transform(floats[:0], strings[:0]).shape
    exact = [number for number, step in enumerate(steps) if not isinstance(step, Number) or step.scale != "log"]
    same = np.isin(fitted.origins, exact)
    np.testing.assert_array_equal(ours[:, same], theirs[:, same])
    # A last digit of a logarithm, of 1e-16, is divided by a spread of at least 1e-6 of it.
    np.testing.assert_allclose(ours, theirs, rtol=2e-7, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_numbers_rise_with_their_input(data):
    """What monotone constraints rely on: every scale keeps the order of numbers."""
    any_float = st.floats(width=32, allow_nan=False, allow_infinity=True, allow_subnormal=False)
    train = data.draw(hnp.arrays(np.float32, (30, 1), elements=any_float))
    step = data.draw(st.sampled_from([step for step in NUMBERS if step is not None and step.missing is not None]))
    fitted = Numbers.fit(train, step)
    found = fitted.transform(np.sort(data.draw(hnp.arrays(np.float32, (20, 1), elements=any_float)), axis=0))
    rising = [j for j, origin in enumerate(fitted.rising) if origin >= 0]
    assert rising == [0]
    assert (found[1:, 0] >= found[:-1, 0]).all()


def test_linear_inputs_are_finite_whatever_comes():
    train = np.array([[1.0, np.nan, 7.0], [3.0, 2.0, 7.0], [np.inf, 4.0, 7.0]] * 20, np.float32)
    fitted = Numbers.fit(train, LINEAR.number)
    wild = np.array([[np.inf, -np.inf, np.nan], [3.4e38, -3.4e38, np.inf], [np.nan, np.nan, -np.inf]], np.float32)
    matrix = fitted.transform(wild)
    assert np.isfinite(matrix).all() and np.abs(matrix).max() == FAR
    assert fitted.origins == (0, 1, 2, 1), "the second had gaps and gets an indicator"
    assert matrix[:, 3].tolist() == [0, 0, 1]


@pytest.mark.parametrize("scale", ["standard", "min-max", "robust", "log", "quantile"])
def test_every_scale_is_finite_whatever_comes(scale):
    train = np.array([[1.0], [3.0], [np.inf], [np.nan], [-5.0]] * 20, np.float32)
    assert np.isfinite(Numbers.fit(train, Number("median", scale, True)).transform(EXTREMES[:, None])).all()


def test_trees_see_missing_only_where_training_did():
    train = np.array([[1.0, np.nan], [3.0, 2.0], [5.0, 4.0]] * 10, np.float32)
    fitted, _ = fit(examples_of(train, np.empty((30, 0), object)), TREES)
    row = fitted.transform(np.array([[np.nan, np.nan]], np.float32), np.empty((1, 0), object))
    assert row[0, 0] == 3.0 and np.isnan(row[0, 1])


def test_what_stands_for_a_missing_number():
    train = np.array([[1.0], [1.0], [2.0], [8.0], [np.nan]], np.float32)
    gap = np.array([[np.nan]], np.float32)
    found = {
        each: Numbers.fit(train, Number(each, "as-is", True)).transform(gap).tolist()[0]
        for each in ("median", "mean", "mode", -4.0)
    }
    assert found == {"median": [1.5, 1], "mean": [3, 1], "mode": [1, 1], -4.0: [-4, 1]}


def test_scales_are_what_they_say():
    train = np.arange(101, dtype=np.float32)[:, None]
    asked = np.array([[0], [50], [100], [-3], [200]], np.float32)
    found = {s: Numbers.fit(train, Number("median", s, False)).transform(asked)[:, 0] for s in ("min-max", "robust")}
    assert found["min-max"] == pytest.approx([0, 0.5, 1, -0.03, 2], abs=1e-6)
    assert found["robust"] == pytest.approx([-1, 0, 1, -1.06, 3], abs=1e-6)
    ranks = Numbers.fit(train**3, Number("median", "quantile", False)).transform(asked**3)[:, 0]
    assert ranks == pytest.approx([0, 0.5, 1, 0, 1], abs=0.01), "ranks do not see that the values are cubes"
    powers = np.array([[-1e6], [-1e3], [0], [1e3], [1e6]], np.float32)
    logs = Numbers.fit(powers, Number("median", "log", False)).transform(powers)[:, 0]
    expected = np.sign(powers[:, 0]) * np.log1p(np.abs(powers[:, 0].astype(float)))
    assert logs == pytest.approx(expected / expected.std(), abs=1e-6)


def test_a_step_reaches_its_column_only():
    train = np.array([[1.0, 10.0, 100.0], [2.0, 20.0, 300.0]] * 10, np.float32)
    texts = np.array([["a", "x"], ["b", "y"]] * 10, object)
    steps = (None, Number(scale="min-max"), None, None, Hashed(3))
    fitted, matrix = fit(examples_of(train, texts, prepared=steps), TREES)
    assert fitted.origins == (0, 2, 1, 3, 4, 4, 4, 4)
    assert matrix[:2, :3].tolist() == [[1, 100, 0], [2, 300, 1]]


def test_an_indicator_does_not_rise_with_its_input():
    train = np.array([[1.0], [np.nan], [3.0]] * 10, np.float32)
    examples = examples_of(train, np.empty((30, 0), object), prepared=(Number("mean", None, True),), monotone=(1,))
    fitted, _ = fit(examples, TREES)
    assert fitted.origins == (0, 0)
    assert examples.constraints(fitted.rising) == [1, 0]


def test_inputs_that_say_nothing_are_left_out_with_the_reason():
    floats = np.column_stack([np.full(60, 7.0), np.arange(60.0), np.full(60, np.nan)]).astype(np.float32)
    strings = np.column_stack([[f"id {i}" for i in range(60)], ["one"] * 60, [NULL] * 60]).astype(object)
    fitted, matrix = fit(examples_of(floats, strings), LINEAR)
    assert fitted.origins == (1,) and matrix.shape == (60, 1)
    assert fitted.left == {
        0: "left out: 7 in all training rows",
        2: "left out: missing in all training rows",
        3: "left out: rare everywhere, no level has 2 of 60 rows",
        4: "left out: 'one' in all training rows",
        5: "left out: missing in all training rows",
    }
    assert list(fitted.told()) == [1]


def test_a_table_of_constants_still_has_columns():
    fitted, matrix = fit(examples_of(np.full((10, 2), 3.0, np.float32), np.empty((10, 0), object)), LINEAR)
    assert matrix.shape == (10, 2) and not matrix.any() and not fitted.left


def test_linear_models_get_the_mean_target_where_indicators_would_lose_rows():
    rows = 600
    few = [f"often {i % 4}" for i in range(rows)]
    some = [f"id {i // 3}" if i % 10 == 0 else few[i] for i in range(rows)]
    most = [f"id {i // 3}" if i % 2 else few[i] for i in range(rows)]
    strings = np.column_stack([few, some, most, [f"id {i // 3}" for i in range(rows)]]).astype(object)
    examples = examples_of(np.empty((rows, 0), np.float32), strings)
    words = fit(examples, LINEAR)[0].told()
    assert [words[number].split(",")[0] for number in range(4)] == [*["one-hot"] * 2, *["mean target out of fold"] * 2]
    for usual in (TREES, BAYES):
        assert "mean target out of fold" not in str(fit(examples, usual)[0].told())


def test_what_is_done_is_told():
    floats = np.array([[1.0, np.nan], [3.0, 5.0], [4.0, 9.0]] * 20, np.float32)
    strings = np.column_stack([["a", "b", "c"] * 20, ["d", "e"] * 28 + ["f", "g", "h", "i"]]).astype(object)
    steps = (Number(scale="log"), Number("mean"), Target(), OneHot(rare=5))
    fitted, _ = fit(examples_of(floats, strings, prepared=steps), LINEAR)
    assert fitted.told() == {
        0: "logarithm, standardised, median 3 for a missing one",
        1: "standardised, mean 7 for a missing one, indicator",
        2: "mean target out of fold, 3 levels",
        3: "one-hot, 2 levels, 4 rare as one",
    }
    usual, _ = fit(examples_of(floats, strings), TREES)
    assert usual.told() == {
        0: "as it is, median 3 for a missing one",
        1: "as it is, a missing one stays missing",
        2: "codes by mean target, 3 levels",
        3: "codes by mean target, 2 levels, 4 rare as one",
    }


def test_rare_and_unknown_levels_are_one():
    texts = texts_of(["a"] * 50 + ["b"] * 30 + [f"once {i}" for i in range(25)])
    fitted = Indicators.one_hot(texts, 0, [0], OneHot())
    assert fitted.levels[0].names == ("a", "b")
    coded = fitted.transform(NO_FLOATS, texts_of(["a", "b", "once 3", "new", NULL]))
    assert coded.argmax(1).tolist() == [0, 1, 2, 2, 2] and (coded.sum(1) == 1).all()


def test_levels_are_capped_at_the_most_frequent():
    texts = texts_of(np.repeat([f"l{i:03d}" for i in range(150)], np.arange(20, 170)))
    fitted = Indicators.one_hot(texts, 0, [0], OneHot())
    assert len(fitted.levels[0].names) == 100 and "l149" in fitted.levels[0].names
    assert "l049" not in fitted.levels[0].names


def test_null_is_a_level_like_any_other():
    texts = texts_of([NULL] * 40 + ["a"] * 40)
    assert set(Indicators.one_hot(texts, 0, [0], OneHot()).levels[0].names) == {NULL, "a"}


def test_levels_are_hashed_alike_everywhere():
    texts = texts_of([f"level {i}" for i in range(40)])
    fitted = Indicators.hashing(texts, 0, [0], Hashed(8))
    coded = fitted.transform(NO_FLOATS, texts_of(["level 0", "level 1", "level 2", "unknown"]))
    assert coded.shape == (4, 9) and coded[3, 8] == 1
    assert coded.argmax(1).tolist() == HASHED, "another bucket makes old artifacts differ from new ones"


HASHED = [1, 7, 7, 8]


def test_codes_follow_the_smoothed_mean():
    texts = texts_of(["low"] * 100 + ["high"] * 100 + ["mid"] * 100 + ["few"] * 10)
    y = np.array([0.1] * 100 + [0.9] * 100 + [0.5] * 100 + [5.0] * 10)[:, None]
    level = ordinal(texts, y).levels[0]
    codes = dict(zip(level.names, level.codes, strict=True))
    assert codes["low"] < codes["mid"] < codes["high"]
    assert level.of(texts_of(["few"])).tolist() == [level.other]


def test_classes_are_ordered_along_their_first_component():
    texts = texts_of(np.repeat(np.array(["x", "y", "z"], object), 100))
    targets = np.zeros((300, 3))
    targets[:100, 0], targets[100:200, 1], targets[200:, 2] = 1, 1, 1
    targets[100:200] = [0.5, 0, 0.5]
    level = ordinal(texts, targets).levels[0]
    codes = dict(zip(level.names, level.codes, strict=True))
    assert codes["y"] in (1, 2) and {codes["x"], codes["z"]} & {0, 3}, "y lies between x and z"


def test_binary_order_is_the_same_from_indicators():
    rng = np.random.default_rng(0)
    texts = rng.choice(np.array(list("abcdefgh"), object), (2000, 1))
    y = (rng.random(2000) < np.array([ord(t) - 97 for t in texts[:, 0]]) / 8).astype(float)
    one = ordinal(texts, y[:, None]).levels[0]
    both = ordinal(texts, np.column_stack([1 - y, y])).levels[0]
    assert one.names == both.names and one.codes in (both.codes, tuple(8 - c for c in both.codes))


def ordinal(texts, targets):
    return Ordinal.fit(texts, targets, 0, [0], prepare.Ordinal(10))
