"""A request is cleaned as the rows of the examples are."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, RequestError, SettingsError
from mainstem.features.requests import Sent, sent
from mainstem.nodes.definition import Graph
from mainstem.nodes.instants import INSTANT
from mainstem.project.resolve import resolve
from mainstem.streaming.predictions import example_key

SALES = {
    "order_id": "string",
    "country": "string",
    "amount": "string",
    "weight": "float64",
    "ordered": "string",
    "email": "string",
    "paid": "string",
}
ALL = {**SALES, "at": INSTANT, "target": "boolean"}
VERBS = [
    ms.clean.trim("order_id"),
    ms.clean.trim("country"),
    ms.clean.case("country", "upper"),
    ms.clean.map("country", {"GERMANY": "DE", "FRANCE": "FR"}),
    ms.clean.impute("country", "??", indicator="no_country"),
    ms.clean.parse_number("amount", locales=("de",), invalid="null"),
    ms.clean.clip("amount", low=0, high=500),
    ms.clean.convert("weight", "kg", "lb"),
    ms.clean.within("weight", low=0.5, invalid="null"),
    ms.clean.parse_date("ordered", formats=("%d.%m.%Y", "%Y-%m-%d"), invalid="null"),
    ms.clean.extract("paid", r"(\d+)", group=1, invalid="null"),
    ms.clean.hash("email", salt="${env:SALT}"),
    ms.clean.deduplicate("order_id", order_by="amount"),
]
COLUMNS = ["order_id", "country", "no_country", "amount", "weight", "ordered", "email", "paid"]


@pytest.fixture(autouse=True)
def salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT", "pepper-and-salt")


def graph_of(verbs: list[Any], features: list[Any]) -> Graph:
    known = {"*": _.at - ibis.interval(days=1), "target": _.at + ibis.interval(days=1)}
    sales = ms.files("sales.csv", key="order_id", time="at", known=known)

    @ms.table(key="order_id", time="at", clean=verbs)
    def orders(sales):  # type: ignore[no-untyped-def]
        return sales

    late = ms.model(
        examples=orders,
        prediction_time="at",
        target="target",
        features=features,
        assume_known=dict.fromkeys(features, "for this test"),
    )
    return resolve({"sales": sales, "orders": orders, "late": late}, {"sales": ALL})


def sent_by(verbs: list[Any], features: list[Any]) -> Sent:
    graph = graph_of(verbs, features)
    return sent(graph, "late", example_key(graph, "late"))


def rows(seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)

    def some(*values: Any) -> Any:
        return draw.choice(values)

    return [
        {
            "order_id": some("", " ") + f"o{n}" + some("", "\t"),
            "country": some("de", " Germany", "FRANCE ", "fr", "  ", "", None, "straße"),
            "amount": some("1.234,50", "-3", "12,5", "x", None, "7", " 8,1 "),
            "weight": some(1.0, 100.0, 0.1, None, -3.0),
            "ordered": some("24.12.2025", "2025-12-24", "31.02.2025", None, "soon"),
            "email": some("ann@example.org", "bob@example.org", None),
            "paid": some("EUR 12", "none", None, "7 of 9"),
        }
        for n in range(200)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_each_verb_does_what_it_does_in_the_table(seed: int) -> None:
    graph = graph_of(VERBS, COLUMNS)
    request = sent(graph, "late", example_key(graph, "late"))
    assert dict(request.fields) == SALES, "as they are before the verbs, and no indicator"
    given = rows(seed)
    table = pa.Table.from_pylist(given, schema=ibis.schema(ALL).to_pyarrow())
    build = graph["orders"].build
    assert build is not None
    with DuckdbEngine().session({"sales": table}) as session:
        expected = session.fetch(build).to_pylist()
    cleaned = request.clean([dict(row) for row in given])
    assert len(expected) == len(cleaned) == 200
    for row, want in zip(cleaned, sorted(expected, key=lambda r: int(r["order_id"][1:])), strict=True):
        assert row.keys() == {*COLUMNS}
        # The salt of the table is a run's. A row of a request has its dates as texts.
        want["ordered"] = want["ordered"] and want["ordered"].isoformat()
        assert row == {name: want[name] for name in COLUMNS} | {"email": row["email"]}
        assert (row["email"] is None) == (want["email"] is None)


def test_a_pseudonym_has_the_salt_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    request = sent_by([ms.clean.hash("email", salt="${env:SALT}")], ["email"])
    (row,) = request.clean([{"email": "ann@example.org"}])
    assert row == {"email": sha256(b"pepper-and-saltann@example.org").hexdigest()}
    monkeypatch.delenv("SALT")
    assert sent_by([ms.clean.hash("email", salt="${env:SALT}")], ["email"]).fields == {"email": "string"}
    with pytest.raises(SettingsError, match="SALT"):
        sent_by([ms.clean.hash("email", salt="${env:SALT}")], ["email"]).clean([{"email": "ann@example.org"}])


@pytest.mark.parametrize(("invalid", "said"), [("quarantine", "quarantined"), ("fail", "the run fails")])
def test_what_the_table_would_not_have_is_refused(invalid: Any, said: str) -> None:
    request = sent_by([ms.clean.parse_number("amount", invalid=invalid)], ["amount"])
    assert request.clean([{"amount": "1,000.5"}, {"amount": None}]) == [{"amount": 1000.5}, {"amount": None}]
    with pytest.raises(RequestError) as caught:
        request.clean([{"amount": "1"}, {"amount": "a lot"}])
    assert str(caught.value) == (
        "the field 'amount' cannot be cleaned\n"
        "  where: rows[1].amount\n"
        "  got: 'a lot'\n"
        f"  expected: amount read as float64 (en), else {said}\n"
        "  hint: the table of examples has no such rows either"
    )


def test_a_column_that_other_rows_decide_is_sent_as_the_table_has_it() -> None:
    verbs = [
        ms.clean.parse_number("amount"),
        ms.clean.impute("amount", using="mean", fit=(None, "2025-01-01")),
        ms.clean.trim("country"),
    ]
    request = sent_by(verbs, ["amount", "country"])
    assert request.fields == {"amount": "float64", "country": "string"}
    assert request.clean([{"amount": 3.0, "country": " DE"}]) == [{"amount": 3.0, "country": "DE"}]


def test_a_field_that_only_a_verb_reads_is_asked_for_and_not_logged() -> None:
    request = sent_by([ms.clean.convert("weight", "kg", unit_column="country")], ["weight"])
    assert request.fields == {"weight": "float64", "country": "string"}
    assert request.clean([{"weight": 2_000.0, "country": "g"}]) == [{"weight": 2.0}]


def test_a_key_that_was_not_sent_stays_away() -> None:
    request = sent_by([ms.clean.trim("order_id")], ["weight"])
    assert request.key == {"order_id": "string"} and request.fields == {"weight": "float64"}
    assert request.clean([{"weight": 1.0}, {"weight": 1.0, "order_id": " o1"}]) == [
        {"weight": 1.0},
        {"weight": 1.0, "order_id": "o1"},
    ]


def test_examples_without_verbs_are_sent_as_they_are() -> None:
    request = sent_by([], ["weight", "country"])
    assert (request.fields, request.cleaning) == ({"weight": "float64", "country": "string"}, ())


def test_an_endpoint_with_a_latency_refuses_verbs_of_the_engine() -> None:
    graph = graph_of([ms.clean.trim("amount"), ms.clean.parse_number("amount")], ["amount"])
    declared: dict[str, Any] = {name: graph[name].node for name in ("sales", "orders", "late")}
    resolve(declared | {"asked": ms.endpoint(declared["late"])}, {"sales": ALL})
    with pytest.raises(DefinitionError, match=r"the verb parse_number\(amount\) is too slow for an endpoint") as caught:
        resolve(declared | {"asked": ms.endpoint(declared["late"], latency="5ms")}, {"sales": ALL})
    assert "TryCast, which only the engine can compute" in str(caught.value)
