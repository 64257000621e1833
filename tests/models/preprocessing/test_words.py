"""Words of free texts: equal in numpy and in ONNX, folded by case, and better than leaving the text out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mainstem.errors import DefinitionError
from mainstem.models.algorithms import algorithm
from mainstem.models.artifact import export, gate
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.rows import NULL, Examples, Rows
from mainstem.models.graphs.builder import Builder
from mainstem.models.metrics import METRICS
from mainstem.models.preprocessing import LINEAR, TREES, fit
from mainstem.models.preprocessing.terms import Terms, tokens_of
from mainstem.nodes import prepare
from mainstem.nodes.prepare import HashedWords, Tfidf

GOOD, BAD = ("great", "love", "bright", "Sturdy", "schön"), ("broken", "awful", "refund", "LEAKS", "schlecht")
COMMON = tuple(f"word{n}" for n in range(60))


def reviews(n=600, seed=0, *, numbers=1, task="binary", prepared=()):
    """Texts of 8 to 30 words. One or two of them say what the target is, nine times of ten."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    texts = []
    for each in y:
        words = list(random.choice(COMMON, random.integers(8, 30)))
        telling = GOOD if (random.random() < 0.9) == bool(each) else BAD
        words.insert(int(random.integers(len(words))), str(random.choice(telling)))
        texts.append(random.choice([" ", ", "]).join(words) + random.choice(["", ".", "!"]))
    for at in range(0, n, 50):
        texts[at] = NULL
    rows = Rows(random.normal(size=(n, numbers)).astype(np.float32), np.array(texts, object)[:, None])
    target = y if task != "regression" else y * 3.0 + random.normal(size=n) / 10
    return Examples(rows, target, np.zeros(n, np.int64), task, 0, prepare=prepared)


def through_onnx(fitted, strings):
    builder = Builder()
    matrix = builder.cast(fitted.onnx(builder, "floats", "strings"), "DOUBLE")
    model = builder.model({"strings": strings.shape[1]}, matrix, ["rows", "columns"])
    return session(model).run(None, {"strings": strings})[0]


STEPS = [
    Tfidf(3),
    Tfidf(0, ngrams=3),
    Tfidf(5, score=False, ngrams=1, rare=1),
    Tfidf(4, ngrams=4, characters=True),
    HashedWords(5),
    HashedWords(40, ngrams=3, characters=True),
]

words = st.lists(
    st.sampled_from(
        ["the", "The", "THE", "straße", "STRASSE", "İstanbul", "東京", "don't", "ǅ", "a", "␀", "\u200d", "x1"]
    ),
    max_size=9,
)
texts = st.one_of(
    st.tuples(words, st.sampled_from([" ", ", ", "-", "\n", "…", "，"])).map(lambda each: each[1].join(each[0])),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)


@pytest.mark.parametrize("step", STEPS, ids=str)
@settings(max_examples=40, deadline=None)
@given(train=st.lists(texts, min_size=1, max_size=30), found=st.lists(texts, min_size=1, max_size=12))
@example(train=["a b", "b a", "a b"], found=["", "", NULL])
def test_numpy_and_onnx_agree(step, train, found):
    strings = np.array([*train, *train], object)[:, None]
    y = np.arange(len(strings)) % 3 * 1.0
    examples = Examples(Rows(np.empty((len(strings), 0), np.float32), strings), y, y.astype(np.int64), "regression")
    fitted, _ = fit(replace(examples, prepare=(step,)), LINEAR)
    asked = np.array([*found, *gate.LEVELS], object)[:, None]
    ours = fitted.transform(np.empty((len(asked), 0), np.float32), asked)
    assert np.isfinite(ours).all() and ours.dtype == np.float32
    if fitted.origins:
        assert through_onnx(fitted, asked) == pytest.approx(ours, rel=1e-6, abs=1e-6)
        assert through_onnx(fitted, asked[:1]) == pytest.approx(ours[:1], rel=1e-6, abs=1e-6)
        assert through_onnx(fitted, asked[:0]).shape == (0, len(fitted.origins))


def test_terms_are_words_and_their_sequences_in_any_case():
    seen = np.array(["Red wine, red", "red WINE", "green tea", ""], object)
    terms, counts = Terms.fit(seen, 0, most=10, length=2, rare=2, characters=False)
    assert terms.spelled == ["red", "wine", "red wine"]
    assert counts.tolist() == [2, 2, 2]
    found, row = terms.of(np.array(["WINE red", "no", "Red-Wine"], object))
    assert list(zip(row.tolist(), [terms.spelled[n] for n in found], strict=True)) == [
        (0, "red"), (0, "wine"), (2, "red"), (2, "wine"), (2, "red wine"),
    ]  # fmt: skip


def test_characters_of_a_text_are_in_order():
    tokens, row = tokens_of(np.array(["東京", "", "a b"], object), characters=True)
    assert tokens.to_pylist() == ["東", "京", "a", " ", "b"] and row.tolist() == [0, 0, 2, 2, 2]


def test_the_most_frequent_terms_are_kept():
    seen = np.array(["a b", "a c", "a b c", "d"], object)
    terms, counts = Terms.fit(seen, 0, most=2, length=2, rare=1, characters=False)
    assert set(terms.spelled) == {"a", "b"} and counts.tolist() == [3, 2]


NAMES = ["linear", "lightgbm", "knn", "naive_bayes"]


@pytest.mark.parametrize(
    ("name", "step"),
    [(name, step) for name in NAMES for step in (None, Tfidf())]
    # Neighbours by hundreds of words are not near.
    + [(name, HashedWords(512)) for name in NAMES if name != "knn"],
)
def test_a_free_text_is_better_than_no_text(name, step):
    train, test = reviews(600, prepared=(None, step)), reviews(300, seed=1)
    without = replace(train, rows=Rows(train.rows.floats, np.full_like(train.rows.strings, "same")))
    area = METRICS["roc_auc"].value
    fitted = algorithm(name).fit(train)
    found = area(test.y, fitted.scores(test.rows))
    assert found > 0.75 and found > area(test.y, algorithm(name).fit(without).scores(test.rows)) + 0.2
    onnx = export.graph(fitted, 1, 1, "binary")
    gate.check(fitted, onnx, test.rows)
    assert len(run(session(onnx), test.rows)) == 300


def test_a_number_beside_the_score_is_not_drowned_by_a_useless_text():
    """The score of training rows is out of fold: of words that say nothing, it says nothing."""
    random = np.random.default_rng(0)
    useless = np.array([" ".join(random.choice(COMMON, 12)) for _ in range(400)], object)[:, None]
    y = random.integers(0, 2, 400)
    examples = Examples(Rows(np.empty((400, 0), np.float32), useless), y, np.zeros(400, np.int64), "binary")
    fitted, matrix = fit(replace(examples, prepare=(Tfidf(0),)), LINEAR)
    assert METRICS["roc_auc"].value(y, matrix[:, 0].astype(float)) == pytest.approx(0.5, abs=0.1)
    own = fitted.transform(examples.rows.floats, useless)
    assert METRICS["roc_auc"].value(y, own[:, 0].astype(float)) > 0.8  # which a model would have believed


@pytest.mark.parametrize("usual", [LINEAR, TREES], ids=["linear", "trees"])
def test_texts_of_several_words_that_differ_are_free(usual):
    fitted, _ = fit(reviews(), usual)
    assert fitted.told()[1].startswith("TF-IDF of ") and fitted.told()[1].endswith("score of the target out of fold")
    few = reviews()
    names = Rows(few.rows.floats, np.array([f"note {n}" for n in range(600)], object)[:, None])
    assert fit(replace(few, rows=names), usual)[0].left == {
        1: f"left out: rare everywhere, no level has {20 if usual is TREES else 2} of 600 rows"
    }


def test_a_text_without_shared_terms_is_left_out():
    rows = Rows(
        np.arange(40, dtype=np.float32)[:, None], np.array([f"w{n} v{n} u{n}" for n in range(40)], object)[:, None]
    )
    examples = Examples(rows, np.arange(40) % 2, np.zeros(40, np.int64), "binary", prepare=(None, Tfidf()))
    assert fit(examples, LINEAR)[0].left == {1: "left out: rare everywhere, no term has 2 of 40 rows"}


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks(task):
    examples = replace(reviews(task=task, prepared=(None, Tfidf(8))), classes=2 if task == "multiclass" else 0)
    fitted = algorithm("linear").fit(examples)
    onnx = export.graph(fitted, 1, 1, task, examples.classes)
    assert gate.check(fitted, onnx, examples.rows).largest <= 1


def test_a_fit_is_the_same_each_time():
    first, second = (fit(reviews(), LINEAR)[1] for _ in "ab")
    assert (first == second).all()


def test_candidates_of_a_fold_share_what_is_fitted(monkeypatch):
    calls, real = [], Terms.fit
    monkeypatch.setattr(Terms, "fit", lambda *given, **more: calls.append(1) or real(*given, **more))
    examples = reviews()
    assert (fit(examples, LINEAR)[1][:, -1] == fit(examples, TREES)[1][:, -1]).all() and len(calls) == 1
    fit(reviews(), LINEAR)
    assert len(calls) == 2


def test_a_long_text_is_scored_beside_short_ones():
    fitted = algorithm("linear").fit(reviews())
    loaded = session(export.graph(fitted, 1, 1, "binary"))
    rows = reviews(50).rows
    rows.strings[7, 0] = "love " * 200_000
    assert run(loaded, rows) == pytest.approx(fitted.scores(rows))


def test_unfitting_values_are_refused():
    with pytest.raises(DefinitionError, match="`ngrams` has an invalid value"):
        prepare.tfidf(ngrams=5)
    with pytest.raises(DefinitionError, match="`tfidf` has no columns"):
        prepare.tfidf(components=0, score=False)
    assert prepare.steps_of({"a": "tfidf", "b": "hashed-words"}) == {"a": prepare.tfidf(), "b": prepare.hashed_words()}


def test_trees_do_not_learn_the_last_digits_of_texts_that_are_alike():
    """The first component of these texts is one number: what sums in another order change of it is noise."""
    texts = np.array([f"some words {'ab'[n % 2]} here" for n in range(60)], object)[:, None]
    rows = Rows(np.empty((60, 0), np.float32), texts)
    found = Examples(rows, np.arange(60.0), np.zeros(60, np.int64), "regression", prepare=(Tfidf(5, score=False),))
    fitted, matrix = fit(found, TREES)
    assert [len(np.unique(column)) for column in matrix.T] == [1, 2]
    made = algorithm("lightgbm").fit(found)
    gate.check(made, export.graph(made, 0, 1, "regression"), rows)
    assert (through_onnx(fitted, texts) == fitted.transform(rows.floats, texts)).all()
