"""Which endpoint a name means."""

from __future__ import annotations

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import NotFound
from mainstem.nodes.base import Node
from mainstem.project.live import endpoint_of

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
        assert endpoint_of(project, name) == "endpoint0"


def test_one_of_several_has_to_be_named() -> None:
    with ms.testing.project(nodes(2), NO_FLIGHT) as project:
        assert endpoint_of(project, "endpoint1") == "endpoint1"
        with pytest.raises(NotFound, match="the project has several endpoints") as error:
            endpoint_of(project, None)
    assert error.value.expected == "one of endpoint0, endpoint1"


def test_no_endpoint() -> None:
    with ms.testing.project(nodes(0), NO_FLIGHT) as project:
        with pytest.raises(NotFound, match="the project has no endpoint"):
            endpoint_of(project, None)
        with pytest.raises(NotFound, match="no endpoint reads 'flights'"):
            endpoint_of(project, "flights")
