"""Outcomes join the decisions that they belong to: each prediction has at most one, and what was only offered none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import SchemaError, UnknownName
from mainstem.monitoring.partition import Batch, Watched
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.base import Node
from mainstem.project.live import service

START = datetime(2026, 3, 1, tzinfo=UTC)
LIVE = START + timedelta(days=60)
INSTANT = "timestamp('UTC', 6)"
SALE = {
    "sale": "string",
    "at": INSTANT,
    "shelf": "string",
    "price": "float64",
    "quote": "string",
    "sold": "float64",
}
SHELF = {"shelf": "string", "cost": "float64"}
PRICES = ms.grid(price=ms.steps(5.0, 12.25, 0.25))


def nodes() -> dict[str, Node]:
    """A shop that asks for prices, with several endpoints of one model."""
    sales = ms.files(
        "sales.csv",
        key="sale",
        time="at",
        schema=SALE,
        known={"*": _.at - ibis.interval(days=9), "sold": "at", "quote": "at"},
        checks=[ms.unique("sale", severity="warn")],
    )
    shelves = ms.files("shelves.csv", key="shelf", schema=SHELF, known="always")
    stand = ms.feature_view(shelves, key="shelf", columns=["cost"], assume_known={"cost": "-"})
    settings = {"prediction_time": _.at - ibis.interval(hours=1), "candidates": ["linear"], "metric": "mae"}
    demand = ms.model(examples=sales, target=_.sold, features=[stand, "price"], **settings)
    visits = ms.files("visits.csv", time="at", schema=SALE, known={"*": _.at - ibis.interval(days=9), "sold": "at"})
    keyless = ms.model(examples=visits, target=_.sold, features=["price"], **settings)
    profit = ms.best((_.price - _.stand__cost) * _.score)
    offered = ms.candidates(shelves, key="shelf", limit=10)
    return {
        "sales": sales,
        "shelves": shelves,
        "stand": stand,
        "demand": demand,
        "visits": visits,
        "keyless": keyless,
        "quote": ms.endpoint(demand, candidates=PRICES, decide=profit, monitors=[ms.value(1e6, min_rows=100)]),
        "named": ms.endpoint(demand, candidates=PRICES, decide=profit, outcomes_by="quote"),
        "shelf": ms.endpoint(demand, candidates=offered, decide=ms.top(3, by=_.score)),
        "plain": ms.endpoint(demand),
        "bare": ms.endpoint(keyless, monitors=[ms.value(0, worth=_.outcome * _.price)]),
    }


def sale(n: int, at: datetime, price: float | None = None, **more: Any) -> dict[str, Any]:
    charged = 5 + n * 7 % 30 / 4 if price is None else price
    sold = max(0.0, 30 - 2.0 * charged + n * 7919 % 5)
    row = {"sale": f"S{n}", "at": at, "shelf": f"s{n % 4}", "price": charged, "quote": None, "sold": sold}
    return {**row, **more}


PAST = [sale(n, START + timedelta(hours=6 * n)) for n in range(200)]
SHELVES = [{"shelf": f"s{n}", "cost": 3.0 + n / 4} for n in range(4)]


def ask(project: Any, endpoint: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Answer requests as the server does, with a log."""
    running = service(project)
    running.start()
    assert running.trouble is None
    answers, log = running.live.predictor(endpoint).answered([dict(row) for row in rows])
    running.committer.submit(log).result()
    running.close()
    return list(answers)


def request(id: str, n: int, **more: Any) -> dict[str, Any]:
    return {"sale": id, "shelf": f"s{n % 4}", "time": (LIVE + timedelta(minutes=n)).isoformat(), **more}


def deliver(project: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Let sales happen."""
    path = project.settings.root / "sales.parquet"
    schema = pq.read_schema(path)
    pq.write_table(pa.concat_tables([pq.read_table(path), pa.Table.from_pylist(list(rows), schema=schema)]), path)


@dataclass(frozen=True)
class Shop:
    """A shop whose endpoints were asked, and what they answered."""

    project: Any
    answers: Mapping[str, Sequence[Any]]

    def judged(self, endpoint: str) -> Batch:
        """The predictions of an endpoint with their outcomes, as monitors read them."""
        watched = Watched.of(self.project.reading("monitor"), endpoint)
        assert watched is not None
        return watched.predictions()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Everything is asked first; then all sales happen, and a run joins them."""
    with ms.testing.project(nodes(), {"sales": PAST, "visits": PAST, "shelves": SHELVES}) as project:
        project.run()
        project.promote("demand")
        project.promote("keyless")
        time = LIVE.isoformat()
        together = [request(f"P{n}", n, price=price) for n in range(50) for price in LADDER]
        again = [request("P-again", 70, price=5.0)] * 2 + [request(f"R{n}", n, price=6.0) for n in range(10)]
        asked = {
            "quote": [request(f"Q{n}", n) for n in range(900)],
            "plain": together + again,
            "shelf": [{"sale": f"L{n}", "price": 6.0, "time": time} for n in range(10)],
            "named": [{"shelf": f"s{n % 4}", "time": time} for n in range(12)],
            "bare": [{"price": 6.0, "time": time}] * 3,
        }
        found = Shop(project, {name: ask(project, name, rows) for name, rows in asked.items()})
        deliver(project, [*priced(found), *listed(found), *named(found), *scored(), *repeated()])
        project.run()
        yield found


def priced(shop: Shop) -> Iterator[dict[str, Any]]:
    """From 880 on, the shop took another price than the one that was decided."""
    for n, answer in enumerate(shop.answers["quote"]):
        yield sale(n, LIVE, answer.items[0].row["price"] + (1e-9 if n < 880 else 1.5), sale=f"Q{n}")


def test_900_decisions_among_30_prices_have_900_outcomes_at_most(shop: Shop) -> None:
    assert {answer.offered for answer in shop.answers["quote"]} == {30}
    found = shop.judged("quote")
    assert (len(found), int(found.known.sum())) == (900, 880)


def test_a_price_was_worth_its_profit_at_what_was_sold(shop: Shop) -> None:
    (verdict,) = shop.project.adapters.state.find(Verdict, monitor="value")
    chosen = [answer.items[0].row for answer in shop.answers["quote"][:880]]
    sold = [row["sold"] for row in itertools.islice(priced(shop), 880)]
    profit = [(row["price"] - row["stand__cost"]) * n for row, n in zip(chosen, sold, strict=True)]
    assert verdict.measure is not None and verdict.measure.rows == 880
    assert verdict.measure.value == pytest.approx(sum(profit) / 880)
    assert verdict.judgement == "failing" and "below the floor of 1e+06" in verdict.text


LADDER = [5 + n / 4 for n in range(31)]


def scored() -> Iterator[dict[str, Any]]:
    yield from (sale(n, LIVE, LADDER[n % 31], sale=f"P{n}") for n in range(50))
    yield sale(1, LIVE, 7.0, sale="P-again")


def test_of_rows_that_were_scored_together_only_the_one_that_happened_has_an_outcome(shop: Shop) -> None:
    """Without `candidates=`, a client scores 31 prices of one sale and charges one of them."""
    found = shop.judged("plain")
    rows = found.take(found.known).table.to_pylist()
    mine = [row for row in rows if row["sale"][:1] == "P" and row["sale"] != "P-again"]
    assert sorted(row["sale"] for row in mine) == sorted(f"P{n}" for n in range(50))
    assert all(row["price"] == LADDER[int(row["sale"][1:]) % 31] for row in mine)
    # One question that was asked twice is two predictions.
    assert [row["price"] for row in rows if row["sale"] == "P-again"] == [5.0, 5.0]


def test_with_a_canary_the_prices_of_one_sale_may_be_of_two_versions(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched.of(shop.project.reading("monitor"), "plain")
    assert watched is not None
    stored = Watched._stored

    def split(self: Watched, relation: str) -> Any:
        rows = stored(self, relation)
        if relation != "predictions.plain":
            return rows
        return rows.mutate(_version=(rows.price == LADDER[5]).ifelse("demand-2", rows._version))

    monkeypatch.setattr(Watched, "_stored", split)
    endpoint = replace(watched.endpoint, canary=ms.canary(0.05))
    other = replace(watched, endpoint=endpoint, version=replace(watched.version, id="demand-2"))
    found = other.predictions()
    known = found.take(found.known).table["sale"].to_pylist()
    assert len(found) == 50 and sorted(known) == ["P36", "P5"]


def repeated() -> Iterator[dict[str, Any]]:
    for days, sold in ((-9, 3.0), (0, 1.0), (2, 2.0)):
        yield from (sale(n, LIVE + timedelta(days=days, hours=1), 6.0, sale=f"R{n}", sold=sold) for n in range(10))


def test_a_key_that_repeats_gives_each_prediction_the_outcome_of_the_nearest_row(shop: Shop) -> None:
    found = shop.judged("plain")
    mine = [key.startswith("R") for key in found.table["sale"].to_pylist()]
    assert found.outcomes[mine].tolist() == [1.0] * 10
    assert len(found) == 50 * 31 + 2 + 10


def listed(shop: Shop) -> Iterator[dict[str, Any]]:
    for n, answer in enumerate(shop.answers["shelf"]):
        yield sale(n, LIVE, 6.0, sale=f"L{n}", shelf=answer.items[1].row["shelf"])


def test_an_outcome_of_a_list_belongs_to_one_of_its_candidates(shop: Shop) -> None:
    found = shop.judged("shelf")
    rows = found.take(found.known).table.to_pylist()
    assert (len(found), [row["_rank"] for row in rows]) == (30, [2] * 10)


def named(shop: Shop) -> Iterator[dict[str, Any]]:
    for n, answer in enumerate(shop.answers["named"]):
        id, price = answer.id if n % 2 else answer.items[0].id, answer.items[0].row["price"]
        yield sale(n, LIVE, price, sale=f"N{n}", quote=id, sold=float(n))
    yield sale(99, LIVE, 6.0, sale="N99", quote="unknown")


def test_an_outcome_finds_its_prediction_by_id(shop: Shop) -> None:
    """The key of a sale is not known when its price is asked for; the sale has the id of the answer."""
    found = shop.judged("named")
    outcomes = dict(zip(found.table["_id"].to_pylist(), found.outcomes.tolist(), strict=True))
    assert [outcomes[answer.items[0].id] for answer in shop.answers["named"]] == [float(n) for n in range(12)]


def test_examples_without_a_key_join_nothing(shop: Shop) -> None:
    found = shop.judged("bare")
    assert (len(found), int(found.known.sum())) == (3, 0)


@pytest.mark.parametrize(
    ("column", "what"),
    [("qoute", "unknown column 'qoute' in 'sales'"), ("price", "`outcomes_by` must be a column with ids")],
)
def test_ids_that_the_examples_do_not_have_are_refused_at_load(column: str, what: str) -> None:
    found = nodes()
    found["other"] = ms.endpoint(found["demand"], outcomes_by=column)  # type: ignore[arg-type]
    given = {"sales": PAST[:2], "visits": PAST[:2], "shelves": SHELVES}
    with ms.testing.project(found, given) as project, pytest.raises((UnknownName, SchemaError), match=what):
        project.graph.whole()
