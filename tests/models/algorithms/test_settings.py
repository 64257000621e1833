"""Settings of algorithms: what is unknown or invalid is refused at its line, and what changes is told."""

from __future__ import annotations

import pytest

import mainstem as ms
from mainstem.errors import DefinitionError
from mainstem.models.algorithms import ALGORITHMS, Choice, Range, candidate, candidates, plain


def test_a_misspelled_setting_has_a_hint_and_a_line():
    with pytest.raises(DefinitionError, match="lightgbm has no setting 'num_leafs'") as error:
        ms.lightgbm(num_leafs=63)
    assert error.value.hint == "did you mean 'num_leaves'?"
    assert "test_settings.py" in str(error.value.where) and "ms.lightgbm(num_leafs=63)" in str(error.value.where)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: ms.lightgbm(num_leaves=1), "`num_leaves` has an invalid value"),
        (lambda: ms.lightgbm(num_leaves=31.0), "`num_leaves` has an invalid value"),
        (lambda: ms.random_forest(max_features=2), "`max_features` has an invalid value"),
        (lambda: ms.mlp(hidden_layer_sizes=64), "`hidden_layer_sizes` must be a tuple of widths"),
        (lambda: ms.xgboost(reg_lambda=-1), "`reg_lambda` has an invalid value"),
        (lambda: ms.lightgbm(63), "the settings of lightgbm must be given by name"),
    ],
)
def test_an_invalid_setting_is_refused(make, what):
    with pytest.raises(DefinitionError) as error:
        make()
    assert error.value.what == what and "test_settings.py" in str(error.value.where)


def test_a_setting_keeps_its_value_and_the_others_their_default():
    made = ms.lightgbm(num_leaves=63)
    assert made.num_leaves == 63 and made.chosen == {"num_leaves": 63} and made == ms.lightgbm(num_leaves=63)
    assert made.with_settings(learning_rate=0.05).chosen == {"num_leaves": 63, "learning_rate": 0.05}
    assert made.with_settings(num_leaves=31) == ms.lightgbm()


def test_candidates_are_named_by_what_they_set():
    assert candidate(ms.lightgbm()).name == "lightgbm"
    assert candidate(ms.lightgbm(num_leaves=63)).name == "lightgbm(num_leaves=63)"
    assert [each.name for each in candidates([ms.knn(), "knn", ms.knn(n_neighbors=3)])] == [
        "knn",
        "knn 2",
        "knn(n_neighbors=3)",
    ]


def test_an_algorithm_without_settings_is_its_name_in_a_fingerprint():
    assert plain(ms.lightgbm()) == plain("lightgbm") == "lightgbm"
    assert plain(ms.lightgbm(num_leaves=63)) == {"algorithm": "lightgbm", "num_leaves": 63}


@pytest.mark.parametrize(
    ("made", "start", "space"),
    [
        (ms.lightgbm(num_leaves=ms.among(8, 64, log=True)), 31, Range(8, 64, log=True, whole=True)),
        (ms.lightgbm(num_leaves=ms.among(64, 256)), 160, Range(64, 256, whole=True)),
        (ms.lightgbm(num_leaves=ms.among(64, 256, log=True)), 128, Range(64, 256, log=True, whole=True)),
        (ms.lightgbm(num_leaves=ms.among([7, 15])), 7, Choice((7, 15))),
        (ms.lightgbm(num_leaves=ms.among([15, 31])), 31, Choice((15, 31))),
    ],
)
def test_a_space_starts_with_the_default_or_in_its_middle(made, start, space):
    assert made.num_leaves == start and made.space["num_leaves"] == made.searched["num_leaves"] == space
    assert made.searched["lambda_l1"] == ms.lightgbm().space["lambda_l1"]


def test_whole_numbers_are_fractions_where_a_setting_takes_these():
    assert ms.lightgbm(lambda_l2=ms.among(1, 100)).space["lambda_l2"] == Range(1, 100)
    assert ms.elastic_net(l1_ratio=ms.among(0.2, 1)).space["l1_ratio"] == Range(0.2, 1.0)


def test_a_value_is_not_searched_and_a_space_is():
    made = ms.lightgbm(num_leaves=63, lambda_l2=ms.among(5.0, 50.0))
    assert "num_leaves" not in made.searched and made.searched["lambda_l2"] == Range(5.0, 50.0)
    assert made.with_settings(rounds=50).searched["lambda_l2"] == Range(5.0, 50.0)
    assert "lambda_l2" not in made.with_settings(lambda_l2=9.0).searched
    assert made.with_settings(lambda_l2=27.5) == ms.lightgbm(num_leaves=63, lambda_l2=27.5) != made


def test_a_space_is_in_the_name_and_in_the_fingerprint():
    made = ms.lightgbm(num_leaves=ms.among(8, 64, log=True))
    assert candidate(made).name == "lightgbm(num_leaves=8 to 64)"
    assert plain(made) == {"algorithm": "lightgbm", "space": {"num_leaves": ["range", 8, 64, "log"]}}
    assert plain(made) != plain(ms.lightgbm(num_leaves=ms.among(8, 65, log=True)))
    chosen = ms.random_forest(max_features=ms.among(["sqrt", 0.5]))
    assert candidate(chosen).name == "random_forest(max_features='sqrt' or 0.5)"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: ms.among(64, 8), "`low` must be below `high`"),
        (lambda: ms.among(0, 8, log=True), "`log` requires positive numbers"),
        (lambda: ms.among(8), "`high` is missing"),
        (lambda: ms.among([8]), "`low` must have several different values"),
        (lambda: ms.among([1, 2], log=True), "`high` and `log` are for a range of numbers"),
        (lambda: ms.among("gini", "entropy"), "`low` has an invalid value"),
        (lambda: ms.lightgbm(num_leaves=ms.among(1, 64)), "`num_leaves` has an invalid value"),
        (lambda: ms.random_forest(max_features=ms.among(["sqrt", "all"])), "`max_features` has an invalid value"),
    ],
)
def test_an_invalid_space_is_refused(make, what):
    with pytest.raises(DefinitionError) as error:
        make()
    assert error.value.what == what and "test_settings.py" in str(error.value.where)


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: ms.lightgbm(n_estimators=500), "'n_estimators' is 'rounds' here"),
        (lambda: ms.lightgbm(reg_alpha=1.0), "'reg_alpha' is 'lambda_l1' here"),
        (lambda: ms.lightgbm(min_child_samples=5), "'min_child_samples' is 'min_data_in_leaf' here"),
        (lambda: ms.xgboost(bagging_fraction=0.5), "'bagging_fraction' is 'subsample' here"),
        (lambda: ms.catboost(iterations=500), "'iterations' is 'rounds' here"),
        (lambda: ms.hist_boosting(num_leaves=9), "'num_leaves' is 'max_leaf_nodes' here"),
        (lambda: ms.linear(C=0.1), "'C' is 1 / 'penalty' here"),
        (lambda: ms.lightgbm(num_leaves=(8, 64)), "num_leaves=ms.among(8, 64) is a space for a search"),
    ],
)
def test_what_libraries_call_otherwise_has_a_hint(make, hint):
    with pytest.raises(DefinitionError) as error:
        make()
    assert error.value.hint == hint


def built_in():
    """Return Mainstem's own algorithms: a package that offers one may have been loaded by another test."""
    return {name: each for name, each in ALGORITHMS.items() if type(each).__module__.startswith("mainstem.")}


def test_every_space_is_inside_what_its_settings_take():
    for algorithm in built_in().values():
        for name, each in algorithm.space.items():
            assert isinstance(each, Range | Choice)
            ends = each.options if isinstance(each, Choice) else (each.low, each.high)
            for end in ends:
                whole = isinstance(each, Range) and each.whole
                algorithm.with_settings(**{name: int(end) if whole else end})


def test_every_public_maker_makes_what_is_registered():
    assert len(built_in()) == 14
    for name, algorithm in built_in().items():
        assert getattr(ms, name)() == algorithm and getattr(ms, name).__name__ == name
