"""Forecasts: an example is a row and a horizon. Labels and features are those of an oracle in plain Python."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, LeakError, ModelError, RunFailed, SchemaError, UnknownName
from mainstem.nodes import records
from mainstem.project.resolve import resolve

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEMA = {"shop": "string", "day": "timestamp('UTC', 6)", "units": "float64", "promotion": "boolean"}
HORIZONS = {"1d": 1, "2d": 2, "7d": 7}


def sales(days: int = 40, shops: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows with gaps: some days of a shop are missing, and some have no units."""
    random_ = random.Random(seed)
    rows = [
        {
            "shop": f"s{shop}",
            "day": START + day * DAY,
            "units": None if random_.random() < 0.1 else float(random_.randrange(100)),
            "promotion": random_.random() < 0.3,
        }
        for shop in range(shops)
        for day in range(days)
        if random_.random() > 0.15
    ]
    random_.shuffle(rows)
    return rows


def source_of(schema=SCHEMA, **known):
    late = {"*": "day", "units": _.day + ibis.interval(hours=22), **known}
    return ms.files("sales.parquet", key=["shop", "day"], time="day", schema=schema, known=late)


def nodes_of(source=None, **options):
    source = source_of() if source is None else source
    past = ms.feature_view(source, key="shop", windows=["3d"], mean=_.units.mean(), n=_.count())
    settings = {
        "target": _.units,
        "prediction_time": _.day + ibis.interval(days=1),
        "series": "shop",
        "horizons": ["1d", "2d", "7d"],
        "features": [past, "promotion"],
        "candidates": ["linear"],
        "folds": 2,
    }
    model = ms.model(source, **{**settings, **options})
    return {"sales": source, "past": past, "demand": model}


def dataset_of(nodes, rows, more=None) -> list[dict[str, Any]]:
    with mainstem.testing.project(nodes, data={"sales": rows, **(more or {})}) as project:
        project.run(" ".join(name for name in nodes if name != "demand"))
        return project.dataset("demand", as_of="arrived").to_pyarrow().to_pylist()


def oracle(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the examples, each in plain loops."""
    units = {(row["shop"], row["day"]): row["units"] for row in rows}
    found = []
    for row in rows:
        asked = row["day"] + DAY
        seen = [
            r["units"]
            for r in rows
            if r["shop"] == row["shop"]
            and r["day"] + timedelta(hours=22) < asked
            and r["day"] + timedelta(hours=22) >= asked - 3 * DAY
        ]
        values = [value for value in seen if value is not None]
        for days in HORIZONS.values():
            then = row["day"] + days * DAY
            weeks = -(-days // 7)
            found.append(
                {
                    "shop": row["shop"],
                    "day": row["day"],
                    "horizon": float(days),
                    "for": then,
                    "promotion": row["promotion"],
                    "_t": asked,
                    "for__month": then.month,
                    "for__day": then.day,
                    "for__weekday": then.weekday(),
                    "past__mean_3d": pytest.approx(sum(values) / len(values)) if values else None,
                    "past__n_3d": len(seen),
                    "_last": row["units"],
                    "_season": units.get((row["shop"], then - weeks * 7 * DAY)),
                    "_target": units.get((row["shop"], then)),
                }
            )
    return sorted(found, key=lambda each: (each["_t"], each["shop"], each["horizon"]))


def by_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda each: (each["_t"], each["shop"], each["horizon"]))


def test_the_dataset_is_that_of_the_oracle_row_by_row():
    rows = sales()
    found = dataset_of(nodes_of(), rows)
    expected = oracle(rows)
    assert len(found) == len(expected) == 3 * len(rows)
    for one, other in zip(by_key(found), expected, strict=True):
        assert {name: value for name, value in one.items() if name != "_split"} == other
    labelled = [each for each in found if each["_split"] != "unlabelled"]
    assert {each["_target"] is None for each in labelled} == {False}
    assert all(each["_target"] is None for each in found if each["_split"] == "unlabelled")


def test_later_rows_change_no_feature():
    rows = sales(seed=1)
    names = ("promotion", "past__mean_3d", "past__n_3d", "for__weekday", "_last")
    whole = {(e["shop"], e["day"], e["horizon"]): [e[n] for n in names] for e in dataset_of(nodes_of(), rows)}
    for days in (10, 25):
        past = [row for row in rows if row["day"] <= START + days * DAY]
        for each in dataset_of(nodes_of(), past):
            key = (each["shop"], each["day"], each["horizon"])
            assert [each[name] for name in names] == whole[key]
            if each["day"] + timedelta(each["horizon"]) > START + days * DAY:
                assert each["_target"] is None


def test_dates_are_forecast_as_dates():
    schema = {**SCHEMA, "day": "date"}
    rows = [{**row, "day": row["day"].date()} for row in sales()]
    asked = (_.day + ibis.interval(days=1)).cast("timestamp('UTC', 6)")
    source = ms.files("sales.parquet", key=["shop", "day"], schema=schema, known="always")
    nodes = nodes_of(source, prediction_time=asked, features=["promotion"])
    del nodes["past"]
    found = dataset_of(nodes, rows)
    units = {(row["shop"], row["day"]): row["units"] for row in rows}
    assert len(found) == 3 * len(rows)
    for each in found:
        then = each["day"] + timedelta(each["horizon"])
        assert each["for"] == then and isinstance(each["for"], date)
        assert (each["for__weekday"], each["for__day"]) == (then.weekday(), then.day)
        assert each["_target"] == units.get((each["shop"], then))


def test_hours_of_one_series():
    rows = [
        {"shop": "s", "day": START + timedelta(hours=h), "units": float(h * h), "promotion": False} for h in range(60)
    ]
    options = {"series": None, "horizons": ["90min", "6h"], "prediction_time": _.day + ibis.interval(hours=1)}
    found = dataset_of(nodes_of(features=["promotion"], **options), rows)
    assert [each["horizon"] for each in by_key(found)[:2]] == [1.5 / 24, 0.25]
    for each in found:
        hours = (each["for"] - START) / timedelta(hours=1)
        assert each["for__hour"] == int(hours) % 24
        known = hours == int(hours) and hours < 60
        assert each["_target"] == (hours * hours if known else None)


@pytest.mark.parametrize("hours", [12, 23])
def test_a_label_that_is_not_known_yet_is_none(monkeypatch, hours):
    rows = sales()
    present = START + 20 * DAY + timedelta(hours=hours)  # day 20 closes at 22:00, and is over at 24:00
    monkeypatch.setattr(records, "now", lambda: present)
    monkeypatch.setattr("mainstem.features.forecasts.now", lambda: present)
    expected = {
        (each["shop"], each["day"], each["horizon"]): each["_target"] if each["for"] < START + 20 * DAY else None
        for each in oracle(rows)
    }
    found = {(each["shop"], each["day"], each["horizon"]): each["_target"] for each in dataset_of(nodes_of(), rows)}
    assert found == expected and any(value is not None for value in found.values())


def test_what_is_planned_for_the_time_that_is_forecast_is_a_feature():
    plans = ms.files(
        "plans.parquet",
        key=["shop", "planned"],
        time="decided",
        schema={"shop": "string", "planned": SCHEMA["day"], "decided": SCHEMA["day"], "price": "float64"},
        known={"*": "decided"},
    )
    price = ms.feature_view(plans, key=["shop", "planned"], columns=["price"])
    rows = sales()
    decided = [
        {"shop": shop, "planned": START + day * DAY, "decided": START + (day - before) * DAY, "price": float(day)}
        for shop in ("s0", "s1")
        for day in range(50)
        for before in [day % 10]
    ]
    nodes = nodes_of(features=[price.on("shop", "for")]) | {"plans": plans, "price": price}
    del nodes["past"]
    known = {(plan["shop"], plan["planned"]): plan for plan in decided}
    found = dataset_of(nodes, rows, {"plans": decided})
    for each in found:
        plan = known.get((each["shop"], each["for"]))
        expected = plan["price"] if plan is not None and plan["decided"] < each["_t"] else None
        assert each["price_shop_for__price"] == expected
    assert len({each["price_shop_for__price"] for each in found}) > 10


def test_a_view_does_not_see_the_label():
    source = source_of()
    of_day = ms.feature_view(source, key=["shop", "day"], columns=["units"])
    before = ms.on_demand(before=_["for"] - ibis.interval(days=7))
    nodes = nodes_of(source, features=[of_day.on("shop", "for"), before, of_day.on("shop", "before")])
    del nodes["past"]
    rows = sales()
    units = {(row["shop"], row["day"]): row["units"] for row in rows}
    found = dataset_of(nodes | {"of_day": of_day}, rows)
    assert any(each["_target"] is not None for each in found)
    for each in found:
        assert each["of_day_shop_for__units"] is None
        assert each["of_day_shop_before__units"] == units.get((each["shop"], each["for"] - 7 * DAY))


def test_two_rows_of_a_series_at_one_time_fail_the_run():
    rows = sales()
    again = [*rows, {**rows[0], "shop": "s1" if rows[0]["shop"] == "s0" else "s0", "day": START - DAY}]
    again.append({**again[-1], "units": 7.0})
    source = ms.files("sales.parquet", key=["id"], time="day", schema={"id": "int64", **SCHEMA}, known={"*": "day"})
    nodes = nodes_of(source, features=["promotion"])
    numbered = [{"id": number, **row} for number, row in enumerate(again)]
    with mainstem.testing.project(nodes, data={"sales": numbered}) as project:
        with pytest.raises(RunFailed, match="several rows at one time") as found:
            project.run()
        assert "2 rows; 1 such times" in str(found.value)
        project.run("sales")
        with pytest.raises(ModelError, match="several rows at one time"):
            project.dataset("demand", as_of="arrived").to_pyarrow()


# ── what is refused when the project loads ────────────────────────────────────────────────────────────


def refused(error, match, source=None, **options):
    with pytest.raises(error, match=match) as found:
        nodes = nodes_of(source, **options)
        resolve({name: node for name, node in nodes.items() if name != "past" or "features" not in options}, {})
    return found.value


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"horizons": []}, "`horizons` is empty"),
        ({"horizons": ["0d"]}, "`horizons` must be positive"),
        ({"horizons": ["1 day"]}, "not a duration"),
        ({"horizons": ["1d", "1d"]}, "`horizons` repeats '1d'"),
        ({"horizons": ["1d", "24h"]}, "`horizons` repeats '1d'"),
        ({"horizons": None}, "`series` requires `horizons`"),
        ({"prediction_time": None}, "`horizons` require `prediction_time`"),
        ({"query": "shop"}, "`horizons` cannot be ranked"),
        ({"target": ms.outcome(_.units > 5, after="1d")}, "`horizons` require a number"),
        ({"gap": "6d"}, "`gap` is shorter than the longest horizon"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, match):
    refused(DefinitionError, match, **options)


def test_what_the_columns_do_not_allow_is_refused():
    error = refused(UnknownName, "unknown column 'shopp'", series=["shopp"])
    assert "shop" in error.hint
    assert "is binary" in refused(DefinitionError, "a target that is a number", target=_.units > 5).got
    assert "is multiclass" in refused(DefinitionError, "a target that is a number", target=_.shop).got
    late = _.day + ibis.interval(days=2)
    error = refused(DefinitionError, "the horizon '1d' is over when the prediction is made", prediction_time=late)
    assert "at most 1d after 'day'" in error.expected
    refused(DefinitionError, "a fixed duration after the time", prediction_time=_.day.truncate("M"))
    for name in ("horizon", "for"):
        own = ms.files("sales.parquet", key=["shop", "day"], time="day", schema={**SCHEMA, name: "float64"})
        refused(SchemaError, f"have a column '{name}'", own)
    dates = ms.files("sales.parquet", key=["shop", "day"], schema={**SCHEMA, "day": "date"}, known="always")
    asked = _.day.cast("timestamp('UTC', 6)")
    refused(DefinitionError, "whole days", dates, prediction_time=asked, horizons=["12h", "1d"], features=["promotion"])


def test_a_column_that_is_known_late_still_leaks():
    source = source_of(promotion=_.day + ibis.interval(days=3))
    refused(LeakError, "'promotion' leaks", source)
    refused(LeakError, "'units' leaks", source_of(units=_.day + ibis.interval(days=2)), features=["units"])
    resolve(nodes_of(features=["units"]), {})  # the row's own value is known in the evening: the label is a later one


def test_horizons_and_series_are_in_the_fingerprint():
    def fingerprint(**options):
        return resolve(nodes_of(**options), {})["demand"].fingerprint

    base = fingerprint()
    assert base == fingerprint(horizons=["7d", "48h", "1d"]) and fingerprint(horizons=["1d", "7d"]) != base
    assert fingerprint(series=None) != base
