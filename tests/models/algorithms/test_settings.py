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
