"""Which endpoint a name means, and what an endpoint says of a champion that others have left behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any

import ibis
import pytest
from ibis import _
from rich.console import Console

import mainstem as ms
from mainstem.cli.render import nodes as nodes_page
from mainstem.errors import NotFound, UnknownName
from mainstem.nodes.base import Node
from mainstem.project.live import endpoints_of

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
NO_FLIGHT: dict[str, list[dict[str, object]]] = {"flights": []}


def nodes(endpoints: int) -> dict[str, Node]:
    schema = {"id": "string", "at": INSTANT, "distance": "float64", "delay": "float64", "arrived_at": INSTANT}
    known = {"*": _.at - ibis.interval(days=9), "delay": "arrived_at", "arrived_at": "arrived_at"}
    flights = ms.files("flights.csv", key="id", time="at", schema=schema, known=known)
    leg = ms.feature_view(flights, key="id", columns=["distance"])
    late = ms.model(
        examples=flights, prediction_time=_.at - ibis.interval(hours=1), target=_.delay > 15, features=[leg]
    )
    return {
        "flights": flights,
        "leg": leg,
        "late": late,
        **{f"endpoint{n}": ms.endpoint(late) for n in range(endpoints)},
    }


@pytest.mark.parametrize("name", [None, "endpoint0", "late", "leg"])
def test_the_only_endpoint(name: str | None) -> None:
    with ms.testing.project(nodes(1), NO_FLIGHT) as project:
        assert endpoints_of(project, name) == ["endpoint0"]


def test_one_of_several_has_to_be_named() -> None:
    with ms.testing.project(nodes(2), NO_FLIGHT) as project:
        assert endpoints_of(project, "endpoint1") == ["endpoint1"]
        with pytest.raises(NotFound, match="the project has several endpoints") as error:
            endpoints_of(project, None)
    assert error.value.expected == "one of endpoint0, endpoint1"


def test_no_endpoint() -> None:
    with ms.testing.project(nodes(0), NO_FLIGHT) as project:
        with pytest.raises(NotFound, match="the project has no endpoint"):
            endpoints_of(project, None)
        with pytest.raises(NotFound, match="no endpoint reads 'flights'"):
            endpoints_of(project, "flights")


def orders() -> Node:
    schema = {"id": "string", "buyer": "string", "at": INSTANT, "price": "float64", "sent_back": "boolean"}
    known = {"sent_back": _.at + ibis.interval(days=1)}
    return ms.files("orders.csv", key="id", time="at", schema=schema, known=known)


def shop(orders: Node, **features: Any) -> dict[str, Node]:
    spent = ms.feature_view(orders, key="buyer", windows=["9d"], grace="9999d", **features)
    hour = ibis.interval(hours=1)
    back = ms.model(examples=orders, prediction_time=_.at + hour, target="sent_back", features=[spent])
    return {"orders": orders, "spent": spent, "back": back, "returns": ms.endpoint(back)}


def test_a_champion_says_which_features_were_redefined() -> None:
    rows = [
        {
            "id": str(n),
            "buyer": f"b{n % 7}",
            "at": START + timedelta(hours=n),
            "price": float(n * 37 % 11),
            "sent_back": n * 37 % 11 > 5,
        }
        for n in range(600)
    ]
    with ms.testing.project(shop(orders(), mean=_.price.mean(), n=_.count()), {"orders": rows}) as project:
        project.run()
        project.promote("back")

        def flags(of: ms.Project) -> list[str]:
            (answer,) = of.predict("returns", [{"buyer": "b1"}], time=START + timedelta(days=9))
            return list(answer["flags"])

        assert flags(project) == []
        changed = shop(project.nodes["orders"], mean=_.price.median(), n=_.count(), another=_.price.max())
        with ms.Project(project.settings, changed, aliases={n: name for name, n in changed.items()}) as later:
            later.run()
            assert flags(later) == ["redefined:spent.mean_9d"]
            status = StringIO()
            for line in nodes_page.status(later.status()):
                Console(file=status, width=200).print(line)
            assert "back-1 was trained with other definitions of: spent.mean_9d" in status.getvalue()
            later.promote("back")
            assert flags(later) == []


def test_a_view_is_read_by_every_endpoint_that_uses_it() -> None:
    with ms.testing.project(nodes(2), NO_FLIGHT) as project:
        assert endpoints_of(project, "leg") == endpoints_of(project, "late") == ["endpoint0", "endpoint1"]


def test_parity_of_a_view_compares_each_endpoint_that_has_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("mainstem.parity.compare.compare", lambda _, e, **more: asked.append((e, more["view"])))
    with ms.testing.project(nodes(3), NO_FLIGHT) as project:
        logs = {f"predictions.endpoint{n}": SimpleNamespace(properties={}) for n in (0, 2)}
        release = replace(project.release, tables={**project.release.tables, **logs})
        monkeypatch.setattr(type(project), "release", release)
        project.parity("leg")
    assert asked == [("endpoint0", "leg"), ("endpoint2", "leg")]


@pytest.mark.parametrize("watch", [False, True])
def test_an_unknown_name_is_refused_before_anything_is_compared(watch: bool) -> None:
    unknown = pytest.raises(UnknownName, match="unknown node 'endpont0'")
    with ms.testing.project(nodes(1), NO_FLIGHT) as project, unknown as error:
        project.watch_parity("endpont0", sample=1, every=9) if watch else project.parity("endpont0")
    assert error.value.hint is not None and "endpoint0" in error.value.hint
