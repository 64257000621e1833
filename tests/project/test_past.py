"""Features of any keys at any times of the past: as a dataset has them, and as they were answered online."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import MainstemError, RequestError, SchemaError, UnknownName
from mainstem.nodes.instants import INSTANT
from mainstem.project.project import Project

BEGIN = datetime(2025, 1, 5, tzinfo=UTC)
SCHEMA = {"id": "string", "card": "string", "shop": "int64", "amount": "float64", "at": INSTANT}
payments = ms.stream("payments", schema=SCHEMA, key="id", time="at")
asks = ms.files("asks.csv", key="ask", time="opened", known={"*": "opened", "fraud": _.opened + ibis.interval(days=1)})
card = ms.feature_view(payments, key="card", windows=["1h", "1d"], n=_.count(), spent=_.amount.sum())
shop = ms.feature_view(payments, key="shop", columns=["amount"])
more = ms.on_demand(share=_.card__spent_1h / _.card__spent_1d)
USED: dict[str, Any] = {"examples": asks, "prediction_time": _.opened + ibis.interval(seconds=1), "target": _.fraud}
model = ms.model(features=[card, shop.on("place"), more], **USED)
NODES = {"payments": payments, "asks": asks, "card": card, "shop": shop, "model": model}
EVENTS = [
    {"id": f"p{n}", "card": f"c{n % 7}", "shop": n % 3, "amount": n * 1.5, "at": BEGIN + timedelta(minutes=7 * n)}
    for n in range(300)
]


def opened(n: int) -> datetime:
    return BEGIN + timedelta(minutes=41 * (50 - n))


ASKED = [
    {"ask": f"a{n}", "card": f"c{n * 5 % 8}", "place": n % 4, "opened": opened(n), "fraud": n % 2 == 0}
    for n in range(50)
]  # fmt: skip


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with ms.testing.project(NODES, {"payments": EVENTS, "asks": ASKED}) as opened:
        opened.run("payments asks card shop")
        yield opened


def moments(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"card": r["card"], "place": r["place"], "time": r["opened"] + timedelta(seconds=1)} for r in rows]


def test_they_are_the_values_of_a_dataset_in_the_order_of_the_rows(project: Project) -> None:
    dataset = {row["ask"]: row for row in project.dataset("model", as_of="arrived").to_pyarrow().to_pylist()}
    rows = [{**moment, "ask": row["ask"]} for moment, row in zip(moments(ASKED), ASKED, strict=True)]
    found = project.features([card, shop.on("place"), more], rows).to_pyarrow().to_pylist()
    names = [name for name in found[0] if name not in ("card", "place", "time", "ask")]
    assert names == ["card__n_1h", "card__spent_1h", "card__n_1d", "card__spent_1d", "shop_place__amount", "share"]
    assert [row["ask"] for row in found] == [row["ask"] for row in ASKED]
    assert [[row[n] for n in names] for row in found] == [[dataset[row["ask"]][n] for n in names] for row in found]
    assert sum(row["card__n_1d"] > 0 for row in found) > 20


def test_they_are_the_values_online(project: Project) -> None:
    time = EVENTS[-1]["at"] + timedelta(seconds=1)
    keys = [{"card": f"c{n}"} for n in range(9)]
    online = [dict(row) for row in project.online("card").get(keys, time)]
    past = project.features(["card"], keys, time).to_pyarrow().drop_columns(["card"]).to_pylist()
    assert [{name.removeprefix("card__"): value for name, value in row.items()} for row in past] == online


@pytest.mark.parametrize("form", ["arrow", "pandas", "polars", "relation"])
def test_rows_have_any_form(project: Project, form: str) -> None:
    table = project.table("asks")
    rows = {"arrow": table.to_pyarrow, "pandas": table.to_pandas, "polars": table.to_polars, "relation": lambda: table}
    found = project.features(["card"], rows[form](), "opened").to_pandas()
    assert found["ask"].tolist() == table.to_pyarrow()["ask"].to_pylist()
    assert found["card__n_1d"].sum() > 100
    assert project.features(["card"], table, "opened").to_ibis().count().to_pyarrow().as_py() == 50


def test_no_rows_have_no_features(project: Project) -> None:
    empty = project.table("asks").to_pyarrow().slice(0, 0)
    assert project.features(["card"], empty, "opened").to_pyarrow().num_rows == 0


def test_a_list_is_a_feature_here(project: Project) -> None:
    last = ms.feature_view(payments, key="card", windows=["30d"], last=ms.last_k(_.amount, 3))
    with ms.testing.project({"payments": payments, "last": last}, {"payments": EVENTS}) as opened:
        opened.run("payments")
        (row,) = opened.features(["last"], [{"card": "c0", "time": BEGIN + timedelta(days=9)}]).to_pyarrow().to_pylist()
    assert row["last__last_30d"] == [294 * 1.5, 287 * 1.5, 280 * 1.5]


NOW = datetime(2025, 1, 6, tzinfo=UTC)
FINE = pa.table({"card": ["a"], "time": pa.array([1], pa.timestamp("ns", "UTC"))})
WRONG: dict[str, tuple[Any, type[MainstemError], str]] = {
    "an unknown view": ((["crad"], [{"card": "a", "time": NOW}]), UnknownName, "crad"),
    "a key that is missing": (([card], [{"crad": "a", "time": NOW}]), UnknownName, "in the rows"),
    "a key of another type": (([shop], [{"shop": "3", "time": NOW}]), SchemaError, "wrong type"),
    "no time": (([card], [{"card": "a"}]), UnknownName, "time="),
    "a time without a zone": (([card], [{"card": "a", "time": datetime(2025, 1, 6)}]), RequestError, "no instants"),
    "one time without a zone": (([card], [{"card": "a"}], datetime(2025, 1, 6)), RequestError, "no time zone"),
    "a time that is a text": (([card], [{"card": "a", "time": "2025"}]), RequestError, "no instants"),
    "a null time": (([card], [{"card": "a", "time": NOW}, {"card": "b", "time": None}]), RequestError, "row 2"),
    "a finer time": (([card], FINE), RequestError, "finer"),
    "two types in a column": (([card], [{"card": "a", "time": NOW}, {"card": 5, "time": NOW}]), RequestError, "types"),
    "no rows at all": (([card], 5), RequestError, "cannot be read"),
    "one row": (([card], {"card": "a", "time": NOW}), RequestError, "cannot be read"),
    "a feature's name": (([card], [{"card": "a", "card__n_1h": 1, "time": NOW}]), SchemaError, "name of a feature"),
    "a view twice": (([card, card], [{"card": "a", "time": NOW}]), SchemaError, "two uses"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_says_so(project: Project, case: str) -> None:
    arguments, error, said = WRONG[case]
    with pytest.raises(error) as caught:
        project.features(*arguments)
    assert said in str(caught.value)
