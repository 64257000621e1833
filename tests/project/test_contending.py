"""Two versions side by side: what was measured, what differs, and the gain on rows that neither was trained on."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pytest
from ibis import _
from typer.testing import CliRunner

import mainstem as ms
from mainstem.cli.app import app
from mainstem.errors import RequestError, UnknownName

DECLARED = """
import ibis
import mainstem as ms
from ibis import _

houses = ms.files("houses.csv", key="id", time="sold_at", known="always")
unkeyed = ms.files("houses.csv")
usual = {{"candidates": ["linear"], "test": 0.25}}
price = ms.model(houses, target="price", **{{**usual, **{price}}})
short = ms.model(houses, target="price", features=["city"], **usual)
rent = ms.model(houses, target="rent", features=["area"], **usual)
dear = ms.model(houses, target=_.price > 400000, features=["area"], **usual)
loose = ms.model(unkeyed, target="price", features={loose}, **usual)
timed = ms.model(houses, target="price", features=["area"], prediction_time=_.sold_at, **{{**usual, **{timed}}})
"""
ONE = {"price": '{"features": ["area", "city"]}', "loose": '["area"]', "timed": "{}"}
TWO = {"price": '{"features": ["area", "rooms"]}', "loose": '["area", "city"]', "timed": '{"candidates": ["naive"]}'}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A project in which `price`, `loose` and `timed` have two versions."""
    place = tmp_path_factory.mktemp("side-by-side")
    random = np.random.default_rng(3)
    with (place / "houses.csv").open("w") as file:
        write = csv.writer(file)
        write.writerow(["id", "sold_at", "area", "city", "rooms", "price", "rent"])
        for i in range(600):
            area, city = random.uniform(30, 200), str(random.choice(["Paris", "Rome"]))
            price = area * (4_500 if city == "Paris" else 3_000) + random.normal(0, 20_000)
            day = f"2024-{1 + i // 50:02}-{1 + i % 25:02}T00:00:00Z"
            write.writerow([f"h{i}", day, f"{area:.2f}", city, int(area // 25), f"{price:.0f}", f"{area * 20:.0f}"])
    (place / "mainstem.toml").write_text('[project]\nname = "homes"\nmodules = ["homes"]\n')
    for declared in (ONE, TWO):
        (place / "homes.py").write_text(DECLARED.format(**declared))
        with ms.load(place) as project:
            project.run()
    return place


@pytest.fixture
def project(place: Path):
    with ms.load(place) as project:
        yield project


def test_the_gain_is_paired_on_the_test_rows_of_both(project):
    found = project.compare("price-1", "price-2")
    one, two = found.first.metrics["rmse"], found.second.metrics["rmse"]
    assert found.metric == "rmse" and found.gain.rows == one.rows == two.rows == 150
    assert found.gain.value == pytest.approx(one.value - two.value)
    assert [each.value for each in found.on_same_rows] == pytest.approx([one.value, two.value])
    assert found.gain.high < 0 and found.verdict == "worse", "the city decides, and the second does not know it"
    assert found.text.startswith("price-2 is worse than price-1: rmse ")
    assert found.text.endswith("on 150 rows that neither was trained on")
    turned = project.compare("price-2", "price-1")
    assert turned.verdict == "better" and turned.gain.value == pytest.approx(-found.gain.value)
    assert (turned.gain.low, turned.gain.high) == pytest.approx((-found.gain.high, -found.gain.low))


def test_what_differs_is_listed_and_what_does_not_is_named(project):
    found = project.compare("price-1", "price-2")
    told = {(each.part, each.name): (each.first, each.second) for each in found.differing}
    assert told["input", "city"] == ("text", None) and told["input", "rooms"] == (None, "number")
    assert ("input", "area") not in told and ("version", "algorithm") not in told
    assert {part for part, _ in told} == {"input", "prepared", "declared"}
    assert found.same == ("version", "data", "split", "library")
    assert found.first.split["split"] == found.second.split["split"]
    assert found.first.snapshots["houses"] == found.second.snapshots["houses"]


def test_versions_of_two_models_are_compared_each_with_its_own_inputs(project):
    found = project.compare("short-1", "price-1")
    assert found.verdict == "better" and found.gain.rows == 150
    same = [each.value for each in found.on_same_rows]
    assert same == pytest.approx([found.first.metrics["rmse"].value, found.second.metrics["rmse"].value])


def test_by_time_the_rows_are_later_than_what_the_first_has_seen(project):
    found = project.compare("timed-1", "timed-2")
    assert found.verdict == "worse" and found.gain.rows == found.second.metrics["rmse"].rows
    assert found.on_same_rows[1].value == pytest.approx(found.second.metrics["rmse"].value)
    assert found.second.split["fitted until"] < "2024-10-20"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("rent-1", "price-1", "the versions predict different targets: 150 of the 150 rows"),
        ("dear-1", "price-1", "the versions predict different targets"),
        ("loose-1", "loose-2", "no rows can be told apart that neither version was trained on: examples without a key"),
        ("price-1", "loose-2", "examples without a key"),
        ("price-1", "price-1", "both are the same version"),
    ],
)
def test_without_rows_to_judge_by_the_text_says_why(project, first, second, why):
    found = project.compare(first, second)
    assert found.gain is None and found.verdict is None and found.on_same_rows is None
    assert found.text.startswith(f"whether {second} is better than {first} is not known: ") and why in found.text
    assert found.second.metrics, "the metrics are shown without a verdict"


def test_a_model_stands_for_its_newest_version(project):
    assert project.compare("price-1", "price") == project.compare("price-1", "price-2")
    with pytest.raises(RequestError, match="needs two"):
        project.compare("price-1")
    with pytest.raises(UnknownName, match="price-7"):
        project.compare("price-1", "price-7")


def test_a_notebook_shows_both_versions(project):
    found = project.compare("price-1", "price-2")
    assert repr(found).startswith("<SideBySide price-1 and price-2: ") and len(repr(found)) < 160
    page = found._repr_html_()
    assert "<script" not in page and f"{found.first.metrics['rmse'].value:,.4g}" in page
    assert "input: rooms" in page and found.text in page


def test_the_command_line_prints_text_and_json(place):
    run = CliRunner().invoke
    at = ["--project", str(place)]
    shown = run(app, ["compare", "price-1", "price-2", *at])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "price-1 and price-2" and lines[-1].startswith("price-2 is worse than price-1: rmse ")
    assert any(line.split()[:4] == ["input", "city", "text", "–"] for line in lines)
    found = json.loads(run(app, ["compare", "price-1", "price-2", "--json", *at]).stdout)
    assert found["gain"]["rows"] == 150 and found["verdict"] == "worse"
    assert found["first"]["version"] == "price-1" and found["second"]["metrics"]["rmse"]["rows"] == 150
    assert run(app, ["compare", "price-1", "price-2", "--with", "price-2", *at]).exit_code == 2
    refused = run(app, ["compare", "price-1", *at])
    assert refused.exit_code == 2 and "mainstem compare price-1 MODEL" in refused.output


def test_definitions_of_features_and_snapshots_of_data_are_told():
    schema = {"id": "string", "shop": "string", "at": "timestamp('UTC')", "n": "float64", "price": "float64"}

    def nodes(value):
        sales = ms.files("sales.parquet", key="id", time="at", schema=schema, known={"*": "at"})
        shop = ms.feature_view(sales, key="shop", windows=["30d"], mean=value, sales=_.count())
        price = ms.model(
            sales,
            target="price",
            prediction_time=_.at + ibis.interval(hours=1),
            features=["n", shop],
            candidates=["linear"],
            test=0.5,
        )
        return {"sales": sales, "shop": shop, "price": price}

    random, at = np.random.default_rng(1), datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        {"id": f"s{n}", "shop": "ab"[n % 2], "at": at + timedelta(hours=4 * n), "n": float(random.normal())}
        for n in range(400)
    ]
    rows = [{**row, "price": row["n"] * 3 + float(random.normal())} for row in rows]
    with ms.testing.project(nodes(_.n.mean()), {"sales": rows}) as project:
        project.run()
        with ms.Project(project.settings, nodes((_.n * 2).mean())) as later:
            later.run()
            found = later.compare("price-1", "price-2")
    told = {(each.part, each.name): (each.first, each.second) for each in found.differing}
    assert ("feature", "shop.mean_30d") in told and ("feature", "shop.sales_30d") not in told
    first, second = told["feature", "shop.mean_30d"]
    assert first != second and first.startswith("definition ") and second.startswith("definition ")
    assert "data" in found.same and found.gain is not None and found.gain.rows == 200
