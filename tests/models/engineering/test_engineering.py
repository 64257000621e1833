"""Features that a fit makes, and inputs that it leaves out: equal in numpy and in ONNX, with reasons, and of use."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from mainstem.errors import DefinitionError, MissingExtra
from mainstem.models.algorithms import algorithm
from mainstem.models.algorithms.candidates import Candidate
from mainstem.models.artifact import export, gate
from mainstem.models.data.ahead import Ahead
from mainstem.models.data.rows import NULL, Examples, Rows
from mainstem.models.engineering import Engineered, fit, recipes
from mainstem.models.engineering.calendar import check_place
from mainstem.models.engineering.fitting import Inputs
from mainstem.models.evaluation.fitting import fitted
from mainstem.models.metrics import METRICS
from mainstem.models.training.preparation import preparation
from mainstem.nodes import engineering as nodes
from mainstem.nodes.engineering import Cyclic, GroupStatistics, Interactions, Ratios, Reduction, Selection, Statistic
from mainstem.nodes.records import InputColumn
from mainstem.testing import learning

DAY = 86_400_000_000


def examples(columns, y, *, texts=None, task="regression", times=None, **more):
    """Examples of numbers by name, and texts by name."""
    rows = Rows(
        np.column_stack(list(columns.values())).astype(np.float32),
        np.column_stack([np.array(each, object) for each in texts.values()])
        if texts
        else np.empty((len(y), 0), object),
    )
    when = np.zeros(len(y), np.int64) if times is None else times
    return Examples(rows, np.asarray(y), when, task, names=(*columns, *(texts or {})), **more)


def checked(found: Examples, name: str = "lightgbm"):
    """Return a fitted algorithm whose artifact passed the gate, on rows with nulls, unknown levels and extremes."""
    made = fit(algorithm(name), found)
    widths = found.rows.floats.shape[1], found.rows.strings.shape[1]
    gate.check(made, export.graph(made, *widths, found.task, found.classes), found.rows)
    return made


def area_of_homes(n=800, seed=0):
    random = np.random.default_rng(seed)
    columns = {name: random.lognormal(1, 0.6, n) for name in ("price", "area", "age", "rooms")}
    columns["rooms"][::11] = np.nan
    columns["area"][::97] = 0
    city = random.choice(["Rome", "Paris", "Oslo", "東京", NULL], n)
    return columns, {"city": city, "kind": random.choice(["flat", "house"], n)}, random


STEPS = [
    (Ratios(("price", "area", "age")),),
    (Interactions(("price", "area", "rooms")),),
    (GroupStatistics(("city",), ("price", "rooms"), get_args(Statistic)),),
    (GroupStatistics(("city", "kind")),),
    (Reduction(3), Reduction(2, ("price", "rooms"), centred=False)),
    (Cyclic(("age",), 7.0),),
    (Ratios(most=3), Interactions(most=3), GroupStatistics(("kind",)), Reduction(2)),
]


@pytest.mark.parametrize("name", ["linear", "lightgbm"])
@pytest.mark.parametrize("steps", STEPS, ids=lambda steps: "+".join(each.word for each in steps))
def test_what_is_made_is_the_same_in_the_artifact(steps, name):
    columns, texts, random = area_of_homes()
    y = np.nan_to_num(columns["price"] / np.maximum(columns["area"], 0.1)) + random.normal(size=800) / 10
    found = checked(examples(columns, y, texts=texts, engineer=steps), name)
    assert found.inputs.names and found.importances(6).sum() == pytest.approx(1)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "count", "quantile", "ranking"])
def test_every_task_is_gated(task):
    found = replace(
        learning.examples(task, 400),
        engineer=(Interactions(), GroupStatistics(("text_0",)), Reduction(2)),
        select=Selection(),
    )
    checked(found)


def test_the_best_quotient_is_found_and_helps():
    columns, _, random = area_of_homes(1200)
    truth = np.where(columns["area"] > 0, columns["price"] / np.maximum(columns["area"], 1e-9), 1)
    y = (np.log(truth) + random.normal(0, 0.2, 1200) > 0).astype(np.int64)
    plain = examples(columns, y, task="binary")
    made = replace(plain, engineer=(Ratios(most=1),))
    inputs, more = Inputs.fit(made)
    assert [name for name, _ in inputs.names] in (["price / area"], ["area / price"])
    assert inputs.names[0][1].startswith("quotient, rank correlation 0.")
    assert more.names == ("price", "area", "age", "rooms", inputs.names[0][0])
    some, rest = np.arange(800), np.arange(800, 1200)
    losses = [
        METRICS["log_loss"].value(y[rest], fit(algorithm("linear"), each.take(some)).scores(plain.rows.take(rest)))
        for each in (plain, made)
    ]
    assert losses[1] < 0.9 * losses[0]


def test_pairs_that_tell_nothing_are_not_made():
    random = np.random.default_rng(0)
    found = examples({each: random.normal(size=2_000) for each in "abcd"}, random.normal(size=2_000))
    assert len(Inputs.fit(replace(found, engineer=(Interactions(),)))[0].names) <= 3


def test_group_statistics_are_of_training_rows_and_not_of_the_target():
    x, city = np.array([1.0, 3, 5, 10, 20, 30, 7]), np.array(["a", "a", "a", "b", "b", "b", "once"])
    asked = GroupStatistics(("city",), ("x",), ("mean", "difference"))
    for y in (np.arange(7.0), np.arange(7.0)[::-1].copy()):
        inputs, more = Inputs.fit(examples({"x": x}, y, texts={"city": city}, engineer=(asked,)))
        assert [name for name, _ in inputs.names] == ["mean x by city", "x − mean by city"]
        assert more.rows.floats[:, 1].tolist() == pytest.approx([3, 3, 3, 20, 20, 20, x.mean()])
        assert more.rows.floats[:, 2].tolist() == pytest.approx([-2, 0, 2, -10, 0, 10, 7 - x.mean()])
    unknown = inputs.rows(Rows(np.array([[4.0]], np.float32), np.array([["elsewhere"]], object)))
    assert unknown.floats[0].tolist() == pytest.approx([4, x.mean(), 4 - x.mean()])


def test_counts_are_of_the_rows_of_a_group():
    city = np.array(["a"] * 5 + ["b"] * 3 + ["once", NULL])
    columns = {"x": np.r_[np.arange(9.0), np.nan]}
    asked = GroupStatistics(("city",), (), ("count",))
    inputs, more = Inputs.fit(examples(columns, np.arange(10.0), texts={"city": city}, engineer=(asked,)))
    assert inputs.names == [("count by city", "rows of a group, 2 groups of the training rows")]
    assert inputs.made[0].origins == ((1,),)
    assert more.rows.floats[:, 1].tolist() == [5] * 5 + [3] * 3 + [2, 2]
    unknown = inputs.rows(Rows(np.array([[4.0]], np.float32), np.array([["elsewhere"]], object)))
    assert unknown.floats[0].tolist() == [4, 2]


def test_group_statistics_tell_why():
    columns, texts, _ = area_of_homes()
    found = examples(columns, columns["price"] ** 2, texts=texts)
    inputs, _ = Inputs.fit(replace(found, engineer=(GroupStatistics(("kind",), most=1),)))
    assert inputs.names[0] == ("mean price by kind", "rank correlation of price 1.00, 2 groups of the training rows")
    inputs, _ = Inputs.fit(replace(found, engineer=(GroupStatistics(("kind",), ("age",), ("median",)),)))
    assert inputs.names == [("median age by kind", "declared, 2 groups of the training rows")]


def test_components_tell_what_their_share_is_of():
    """Numbers far from 0: without centring, the first component is their mean, not their variance."""
    random = np.random.default_rng(0)
    columns = {name: 100 + random.normal(size=500) for name in "abcd"}
    asked = (Reduction(1), Reduction(1, centred=False))
    inputs, _ = Inputs.fit(examples(columns, columns["a"], engineer=asked))
    (_, centred), (_, own) = inputs.names
    assert centred.endswith("% of the variance of 4 numbers") and int(centred.partition("%")[0]) < 40
    assert own == "100% of the squares of 4 numbers, which are not centred"


def test_what_comes_round_is_near_its_beginning():
    found = examples({"sold__month": np.array([1.0, 6, 12, np.nan] * 5)}, np.arange(20.0), engineer=(Cyclic(),))
    made = Inputs.fit(found)[1].rows.floats[:, 1:]
    near, far = np.abs(made[0] - made[2]).sum(), np.abs(made[0] - made[1]).sum()
    assert near < far / 2 and np.isnan(made[3]).all()


def dates(first, count):
    found = [first + dt.timedelta(days=n) for n in range(count)]
    return {
        f"sold__{part}": np.array([getattr(each, part) for each in found], float) for part in ("year", "month", "day")
    }


def test_holidays_of_a_country_are_in_the_artifact():
    pytest.importorskip("holidays")
    columns = dates(dt.date(2023, 1, 1), 900)
    free = np.array(
        [
            (m, d) in {(12, 25), (12, 26), (10, 3), (1, 1)}
            for m, d in zip(columns["sold__month"], columns["sold__day"], strict=True)
        ]
    )
    found = examples(columns, free * 5.0, engineer=(nodes.holidays("sold", country="DE"),))
    made = checked(found)
    values = made.inputs.rows(found.rows).floats[:, 3:]
    assert (values[free, 0] == 1).all() and 20 < values[:, 0].sum() < 35
    christmas = 357  # the 24th of December 2023
    assert values[christmas].tolist() == [0, 1, 30]
    assert values[christmas + 4].tolist() == [0, 4, 2]
    strange = np.array([[1800, 1, 1], [np.nan, 1, 1], [2024, 2, 30], [1e9, 1, 1], [2024, np.inf, 3]], np.float32)
    assert np.isnan(made.inputs.rows(Rows(strange, np.empty((5, 0), object))).floats[:, 3:]).all()


def test_statistics_of_a_number_that_training_rows_lack_are_missing():
    columns, texts, _ = area_of_homes()
    target = columns["price"].copy()
    columns["age"][:] = np.nan
    columns["rooms"][:] = np.inf
    found = examples(columns, target, texts=texts, engineer=(nodes.group_statistics("city"),))
    values = checked(found).inputs.rows(found.rows).floats
    assert np.isnan(values[:, 8:10]).all() and np.isfinite(values[:, 4:5]).all()


def test_components_without_variance_are_not_made():
    columns, _, random = area_of_homes()
    columns = {"area": columns["age"], "feet": columns["age"] * 10.76, "age": random.normal(size=800)}
    made = checked(examples(columns, columns["age"], engineer=(nodes.pca(3),)))
    assert [name for name, _ in made.inputs.names] == ["principal component 1", "principal component 2"]


def test_dates_that_stand_for_never_do_not_fill_the_artifact_with_years():
    pytest.importorskip("holidays")
    columns = dates(dt.date(2023, 1, 1), 400)
    for row, year in ((3, 9999), (9, 1), (11, 1066)):
        columns["sold__year"][row] = year
    found = examples(columns, columns["sold__day"], engineer=(nodes.holidays("sold", country="DE"),))
    made = checked(found)
    (of,) = made.inputs.made
    assert len(of.days) == sum(366 if year % 4 == 0 else 365 for year in range(2013, 2035))
    assert of.told[0] == "holidays of DE, 2013 to 2034"
    values = made.inputs.rows(found.rows).floats[:, 3:]
    assert np.isnan(values[[3, 9, 11]]).all() and np.isfinite(values[12:]).all()


def test_the_year_of_a_forecast_is_read_by_holidays_alone():
    """What grows with the year is kept, though it is nearly the same."""
    pytest.importorskip("holidays")
    n = 400
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=4 * each) for each in range(n)]
    parts = {f"for__{part}": np.array([getattr(day, part) for day in days], float) for part in ("year", "month", "day")}
    grown = parts["for__year"] + np.arange(n) / 1e4
    zeros = np.zeros(n)
    found = examples(
        {**parts, "grown": grown},
        grown,
        texts={"shop": np.array(["a", "b"] * (n // 2))},
        engineer=(nodes.Holidays("for", "DE"),),
        select=Selection(shadows=False, drift=False, correlated=0.95),
        ahead=Ahead(zeros.astype(np.int64), zeros, zeros),
    )
    inputs, more = Inputs.fit(found)
    assert "for__year" not in more.names and "grown" in more.names and more.names[-1] == "shop"
    assert inputs.left[0] == "left out: only holidays read it"
    assert [name for name in more.names if "holiday" in name]
    checked(found)
    _, plain = Inputs.fit(replace(found, select=None))
    assert plain.names[:3] == ("for__month", "for__day", "grown") and len(plain.names) == 7
    assert "for__year" in Inputs.fit(replace(found, ahead=None, select=None))[1].names
    products = (nodes.Holidays("for", "DE"), Interactions(), Reduction(1))
    made = Inputs.fit(replace(found, engineer=products, select=None))[0].made
    read = [0 in origin for each in made for origin in each.origins]
    assert read == [True] * 3 + [False] * (len(read) - 3) and not read[-1]


def test_days_of_years_without_known_holidays_are_missing_not_ordinary():
    pytest.importorskip("holidays")
    columns = dates(dt.date(1700, 12, 20), 40)
    found = examples(columns, columns["sold__day"], engineer=(nodes.holidays("sold", country="DE"),))
    made = checked(found)
    assert not made.inputs.made


def test_a_place_that_is_unknown_is_refused(monkeypatch):
    pytest.importorskip("holidays")
    with pytest.raises(DefinitionError, match="unknown country 'GERMANY'"):
        check_place(nodes.holidays("sold", country="GERMANY"))
    with pytest.raises(DefinitionError, match="unknown subdivision 'XX' of DE"):
        check_place(nodes.holidays("sold", country="DE", subdivision="XX"))
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(MissingExtra, match="holidays"):
        check_place(nodes.holidays("sold", country="DE"))


# ── what is left out ──────────────────────────────────────────────────────────────────────────────────


def noisy(n=1500, *, timed=False, seed=0):
    """Two numbers that tell, a copy of one, five that do not, and one that only tells when a row was made."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=n), random.normal(size=n)
    columns = {"x": x, "z": z, "copy": x * 3 + 1 + random.normal(0, 1e-3, n)}
    columns |= {f"noise_{j}": random.normal(size=n) for j in range(5)}
    columns["serial"] = np.arange(n) + random.normal(0, 5, n)
    texts = {"colour": random.choice(["red", "blue"], n)}
    texts["farbe"] = np.where(texts["colour"] == "red", "rot", "blau")
    y = (x + z + (texts["colour"] == "red") + random.normal(0, 0.5, n) > 0.5).astype(np.int64)
    times = np.arange(n, dtype=np.int64) * DAY if timed else None
    return examples(columns, y, texts=texts, task="binary", times=times)


def left(found, asked):
    inputs, more = Inputs.fit(replace(found, select=asked))
    assert set(more.names) == set(found.names) - {found.names[n] for n in inputs.left}
    return {found.names[n]: why for n, why in inputs.left.items()}


def test_all_but_one_of_what_is_nearly_the_same_is_left_out():
    found = left(noisy(), Selection(False, False, 0.98))
    assert set(found) in ({"copy", "farbe"}, {"x", "farbe"})
    assert found["farbe"] == "left out: the same levels as 'colour'"
    assert "rank correlation" in next(why for name, why in found.items() if name != "farbe")


def test_what_gains_less_than_shuffled_copies_is_left_out():
    found = left(noisy(), Selection(True, False, None))
    assert {"x", "z", "copy", "colour", "farbe"} & set(found) <= {"copy", "x", "farbe", "colour"}
    assert len({f"noise_{j}" for j in range(5)} & set(found)) >= 3 and "z" not in found
    assert all("shuffled copies" in why for why in found.values())


def test_what_only_tells_when_a_row_was_made_is_left_out():
    found = left(noisy(timed=True), Selection(False, True, None))
    assert set(found) == {"serial"} and found["serial"].startswith("left out: tells early from late rows (area 1.00)")
    assert left(noisy(timed=False), Selection(False, True, None)) == {}


def test_what_drifts_and_helps_is_kept():
    """A level that rises with time, and that late rows need."""
    random = np.random.default_rng(0)
    n = 1500
    level = np.arange(n) / n + random.normal(0, 0.25, n)
    y = level * 10 + random.normal(0, 0.3, n)
    found = examples({"level": level, "x": random.normal(size=n)}, y, times=np.arange(n, dtype=np.int64) * DAY)
    assert left(found, Selection(False, True, None)) == {}


def test_something_is_always_kept():
    random = np.random.default_rng(0)
    found = examples({each: random.normal(size=300) for each in "abc"}, random.normal(size=300))
    assert len(left(found, Selection())) < 3


def test_a_selection_helps_neighbours_and_passes_the_gate():
    found, test = noisy(700), noisy(500, seed=1)
    area = METRICS["roc_auc"].value
    plain, chosen = algorithm("knn").fit(found), checked(replace(found, select=Selection()), "knn")
    assert area(test.y, chosen.scores(test.rows)) > area(test.y, plain.scores(test.rows))


def test_the_table_tells_what_was_made_and_left_out():
    found = replace(noisy(), engineer=(Interactions(("x", "z")),), select=Selection())
    estimator = checked(found)
    columns = [InputColumn(n, "float" if n not in ("colour", "farbe") else "string") for n in found.names]
    table = {each.input: each for each in preparation(estimator, columns, ())}
    assert list(table)[-1] == "x × z" and table["x × z"].type == "made"
    assert table["farbe"].left_out and table["farbe"].done == "left out: the same levels as 'colour'"
    assert table["z"].done == "as it is, median" + table["z"].done.partition("median")[2]


# ── a search ──────────────────────────────────────────────────────────────────────────────────────────


def test_candidates_of_a_fold_share_what_is_made(monkeypatch):
    found = replace(noisy(), select=Selection())
    calls = []
    fits = Inputs.fit
    monkeypatch.setattr(Inputs, "fit", lambda each: calls.append(1) or fits(each))
    for name in ("linear", "lightgbm"):
        fitted(Candidate(name, algorithm(name)), found)
    assert calls == [1]


def test_an_algorithm_with_features_of_its_own():
    columns, texts, _ = area_of_homes()
    found = examples(columns, columns["price"] * columns["age"], texts=texts)
    made = Engineered(algorithm("linear"), (Interactions(("price", "age")),))
    plain = algorithm("linear").fit(found)
    assert made.chosen == {"engineer": "interactions"} and made.name == "linear" and made.prepares
    error = METRICS["rmse"].value
    fitted_one = made.fit(found)
    assert error(found.y, fitted_one.scores(found.rows)) < error(found.y, plain.scores(found.rows)) / 5


def test_recipes_follow_the_rows():
    columns, texts, _ = area_of_homes()
    found = examples(columns, columns["price"], texts=texts)
    words = [" ".join(each.word for each in made) or "select" for made, _ in recipes(found)]
    assert words == ["select", "ratios", "interactions", "group statistics group statistics"]
    alone = examples({"x": columns["price"]}, columns["age"])
    assert recipes(alone) == []
    dated = examples({"x": columns["price"], "on__month": columns["age"]}, columns["age"])
    assert recipes(dated) == [((Cyclic(),), None)]
    yearly = examples({"x": columns["price"], "on__year": columns["age"]}, columns["age"])
    assert ((Cyclic(),), None) not in recipes(yearly)


def test_what_chooses_its_columns_leaves_out_inputs_with_a_constraint():
    random = np.random.default_rng(0)
    columns = {f"n{j}": random.lognormal(size=600) for j in range(9)}
    y = columns["n0"] / columns["n1"] + columns["n2"] * columns["n3"]
    months = {name: random.integers(1, 13, 600) for name in ("sold__month", "made__month")}
    found = examples(columns | months, y, texts={"city": random.choice(["a", "b"], 600)})
    tried = recipes(found)
    kinds = {type(each) for made, _ in tried for each in made}
    assert kinds == {Ratios, Interactions, Cyclic, GroupStatistics, Reduction}
    constrained = replace(found, monotone=(1, 0, -1, *[0] * 6, 1, 0, 0))
    assert recipes(constrained) == [each for each in tried if each != ((Reduction(),), None)]  # of seven numbers
    for steps, _ in tried:
        made = Inputs.fit(replace(constrained, engineer=steps))[0].made
        origins = {j for each in made for origin in each.origins for j in origin}
        assert bool(origins) == bool(steps) and not origins & {0, 2, 9}
    assert recipes(replace(found, monotone=(1,) * 11 + (0,))) == [((), Selection())]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nodes.ratios("a"), "`ratios` of one column"),
        (lambda: nodes.interactions(most=0), "`most` has an invalid value"),
        (lambda: nodes.group_statistics("city", statistics="mode"), "`statistics` has an unknown statistic"),
        (lambda: nodes.cyclic("angle"), "`period` is missing"),
        (lambda: nodes.select(shadows=False, drift=False, correlated=None), "`select` does nothing"),
        (lambda: nodes.select(correlated=2), "`correlated` has an invalid value"),
        (lambda: nodes.pca(0), "`components` has an invalid value"),
    ],
)
def test_unfitting_values_are_refused(make, told):
    with pytest.raises(DefinitionError, match=told):
        make()
