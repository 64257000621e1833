"""Remedies that cannot be applied are errors when the project loads; those of a stream correct events as they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.feedback.remedies import write
from mainstem.nodes.findings import Remedy, Rule
from mainstem.nodes.verbs import Case, Cast, Deduplicate, Impute, MapValues, Rescale, Trim, Verb
from mainstem.project.resolve import resolve

SCHEMA = {"id": "int64", "shop": "string", "price": "float64", "at": "timestamp('UTC', 6)"}
NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)


def nodes() -> dict[str, Any]:
    sales = ms.stream("sales", schema=SCHEMA, time="at", key="id")
    prices = ms.files("prices.csv", key="id", schema=SCHEMA, known="always")
    cheap = ms.table(lambda prices: prices.filter(_.price < 5), name="cheap")
    shop = ms.feature_view(sales, key="shop", windows="1h", grace="30d", total=_.price.sum(), n=_.count())
    return {"sales": sales, "prices": prices, "cheap": cheap, "shop": shop}


def rule(node: str, verb: Verb, where: str = "TRUE") -> Rule:
    return Rule(node, verb, where, "count(*) > 0")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "error", "what"),
    [
        (rule("sale", Rescale("price", 2.0)), UnknownName, "'sale'"),
        (rule("sales", Rescale("prise", 2.0)), UnknownName, "'prise'"),
        (rule("sales", Rescale("shop", 2.0)), SchemaError, "'rescale' cannot change 'shop'"),
        (rule("sales", Rescale("price", 2.0), "prise > 1"), UnknownName, "'prise'"),
        (rule("cheap", Rescale("price", 2.0)), DefinitionError, "'cheap' is not a source"),
        (rule("shop", Rescale("price", 2.0)), DefinitionError, "'shop' is not a source"),
        (rule("prices", Cast("price", "int64")), DefinitionError, "cannot change the type of 'price'"),
        (rule("sales", Deduplicate(("id",), "at")), DefinitionError, "'deduplicate' cannot correct the stream 'sales'"),
    ],
)
def test_a_remedy_that_cannot_be_applied_is_an_error(bad: Rule, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what) as caught:
        resolve(nodes(), {}, rules=[bad])
    assert "remedies.toml" in str(caught.value)


def test_a_table_of_files_may_lose_rows() -> None:
    graph = resolve(nodes(), {}, rules=[rule("prices", Deduplicate(("id",), "at"))])
    assert list(graph["prices"].read.columns) == [*SCHEMA]  # type: ignore[union-attr]


def test_events_are_corrected_online_as_offline() -> None:
    """Each verb that a stream takes, one after the other, under a condition: the same from the log as from the lake."""
    rules = [
        rule("sales", Trim("shop")),
        rule("sales", Case("shop", "lower")),
        rule("sales", MapValues("shop", (("b", "a"),))),
        rule("sales", Impute("price", 7.0)),
        rule("sales", Rescale("price", 1 / 100), "price > 100"),
    ]
    sent = [(" A", 250.0), ("b ", None), ("a", 3.0), ("C", 400.0)]
    events = [{"id": n, "shop": s, "price": p, "at": NOON + timedelta(minutes=n)} for n, (s, p) in enumerate(sent)]
    with ms.testing.project(nodes(), {"prices": []}) as project:
        project.run()
        remedies = [Remedy(f"F{n}", each, NOON) for n, each in enumerate(rules)]
        write(project.settings.root / "remedies.toml", remedies)
        project.run()
        project.ingest("sales", events, backfill=True)
        shops, at = [{"shop": "a"}, {"shop": "c"}], NOON + timedelta(minutes=30)
        online = [dict(row) for row in project.online("shop").get(shops, time=at)]
        assert online == [{"total_1h": 2.5 + 7.0 + 3.0, "n_1h": 3}, {"total_1h": 4.0, "n_1h": 1}]
        project.run()
        stored = project.table("sales").to_pyarrow().sort_by("id")
        assert stored["shop"].to_pylist() == ["a", "a", "a", "c"] and stored["price"].to_pylist() == [
            2.5,
            7.0,
            3.0,
            4.0,
        ]
        project.materialise(rebuild=True)
        assert [dict(row) for row in project.online("shop").get(shops, time=at)] == online


def test_a_stream_with_a_type_that_no_event_can_carry_is_refused_when_it_loads() -> None:
    sales = ms.stream("sales", schema={**SCHEMA, "tags": "array<string>"}, time="at", key="id")
    with pytest.raises(SchemaError, match="the column 'tags' has an unsupported type for events") as caught:
        resolve({"sales": sales}, {})
    assert "sales (test_remedies.py" in str(caught.value.where)
