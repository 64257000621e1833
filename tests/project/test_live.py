"""Which endpoint a name means."""

from __future__ import annotations

from dataclasses import replace

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import NotFound, UnknownName
from mainstem.nodes.base import Node
from mainstem.project.live import endpoints_of

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


def test_a_view_is_read_by_every_endpoint_that_uses_it() -> None:
    with ms.testing.project(nodes(2), NO_FLIGHT) as project:
        assert endpoints_of(project, "leg") == endpoints_of(project, "late") == ["endpoint0", "endpoint1"]


def test_parity_of_a_view_compares_each_endpoint_that_has_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("mainstem.features.parity.compare", lambda _, e, **more: asked.append((e, more["view"])))
    with ms.testing.project(nodes(3), NO_FLIGHT) as project:
        logs = {f"predictions.endpoint{n}": "-" for n in (0, 2)}
        release = replace(project.release, tables={**project.release.tables, **logs})
        monkeypatch.setattr(type(project), "release", release)
        project.parity("leg")
    assert asked == [("endpoint0", "leg"), ("endpoint2", "leg")]


@pytest.mark.parametrize("watch", [False, True])
def test_an_unknown_name_is_refused_before_anything_is_compared(watch: bool) -> None:
    unknown = pytest.raises(UnknownName, match="no node is called 'endpont0'")
    with ms.testing.project(nodes(1), NO_FLIGHT) as project, unknown as error:
        project.watch_parity("endpont0", sample=1, every=9) if watch else project.parity("endpont0")
    assert error.value.hint is not None and "endpoint0" in error.value.hint
