"""Details, comparisons and reproductions in a notebook: one line of text, and tables without scripts."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

import mainstem as ms
from mainstem.nodes.comparisons import Comparison, Side
from mainstem.nodes.records import Measure
from mainstem.nodes.reproductions import Compared, Reproduction


@pytest.fixture(scope="module")
def project():
    schema = {"id": "string", "at": "timestamp('UTC')", "size": "float64", "price": "float64"}
    houses = ms.files("houses.parquet", key="id", schema=schema, time="at", known="always")
    sizes = ms.feature_view(houses, key="id", columns=["size"])
    price = ms.model(houses, target="price", features=["size"], candidates=["linear"])
    random.seed(2)
    at = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        {"id": f"h{n}", "at": at + timedelta(hours=n), "size": n % 50 + 1.0, "price": 3.0 * (n % 50)}
        for n in range(200)
    ]
    rows = [{**row, "price": row["price"] + random.gauss(0, 9)} for row in rows]
    nodes = {"houses": houses, "sizes": sizes, "price": price, "desk": ms.endpoint(price)}
    with ms.testing.project(nodes, {"houses": rows}) as found:
        found.run()
        yield found


def test_a_model_is_one_line_and_its_metrics_a_table(project):
    found = project.show("price")
    assert repr(found).startswith("<Details price: model, 1 versions, price-1, linear: rmse ")
    assert "\n" not in repr(found) and len(repr(found)) < 200
    page = found._repr_html_()
    first = found.card["metrics"]["rmse"]
    assert f"{first['low']:,.4g}–{first['high']:,.4g}" in page and f"{first['baseline']:,.4g}" in page
    assert "without" not in repr(found) and found.card["limits"][0].split("`")[0] in page
    assert "<script" not in page and len(page) < 20_000


@pytest.mark.parametrize(
    ("name", "said", "cell"),
    [
        ("houses", "<Details houses: files, 200 rows>", "float64"),
        ("sizes", "<Details sizes: features>", "size"),
        ("desk", "<Details desk: endpoint, model price, champion none yet>", "size"),
        ("dataset.price", "<Details dataset.price: stored relation, 200 rows>", "_target"),
    ],
)
def test_other_nodes_are_one_line_too(project, name, said, cell):
    found = project.show(name)
    assert repr(found) == said and cell in found._repr_html_()


def test_a_model_that_was_never_trained():
    houses = ms.files("houses.parquet", schema={"size": "float64", "price": "float64"})
    with ms.testing.project(
        {"houses": houses, "price": ms.model(houses, target="price", features=["size"])}, {"houses": []}
    ) as p:
        assert repr(p.show("price")) == "<Details price: model, never trained>"
        assert "never trained" in p.show("price")._repr_html_()


def test_a_reproduction(project):
    found = project.reproduce("price-1")
    assert repr(found) == "<Reproduction price-1: reproduced, every step is the same>"
    assert found.text in found._repr_html_() and "model.onnx" in found._repr_html_()
    steps = (Compared("rows", True, "same"), Compared("model.onnx", False, "<b>other</b> bytes"))
    differs = Reproduction("price-1", False, steps)
    assert repr(differs) == "<Reproduction price-1: not reproduced, differs in model.onnx>"
    assert "&lt;b&gt;other" in differs._repr_html_()


def test_a_comparison():
    one = Side("price-1", 1_200, 900, Measure(0.5, 0.4, 0.6, 900), {"0.5": 0.3}, {"send": 300, "wait": 900})
    two = Side("price-2", 1_200, 900)
    found = Comparison("desk", "main", "rel-1", "shadow", "rmse", one, two, "too few outcomes", "not known: too few")
    assert repr(found) == "<Comparison price-1 and price-2: shadow, desk, too few outcomes>"
    page = found._repr_html_()
    assert "0.5 (0.4–0.6)" in page and "1,200" in page and "send 25.0%, wait 75.0%" in page
    assert found.text in page
