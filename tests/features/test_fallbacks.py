"""On-demand features that only the engine can compute: told when a project loads, refused where there is no time."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from ibis import _

from mainstem.errors import DefinitionError
from mainstem.features import fallbacks as module
from mainstem.features.fallbacks import fallbacks
from mainstem.nodes.endpoints import endpoint
from mainstem.nodes.features import on_demand


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_said", set())


def project(small: Any, **settings: Any) -> Any:
    """The small project with two computed features, one of them slow, and an endpoint."""
    declared = small.nodes()
    leg, airport = declared["leg"], declared["airport"]
    computed = on_demand(busy=_.airport__departures_1h > 3, coast=_.leg__dest.re_search("^[LS]"))
    declared = small.nodes(examples=declared["flights"], features=[leg, airport, computed]) | {
        "flights": declared["flights"],
        "departures": declared["departures"],
        "leg": leg,
        "airport": airport,
    }
    return declared | {"arrivals": endpoint(declared["late"], **settings)}


def test_what_falls_back_is_told_once_with_feature_operation_and_place(
    small: Any, caplog: pytest.LogCaptureFixture
) -> None:
    declared = project(small)
    with caplog.at_level(logging.WARNING):
        graph = small.graph_of(declared)
        small.graph_of(declared)
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("test_fallbacks.py:") and "computed = on_demand(" in told
    assert told.endswith(
        "the on-demand feature 'coast' of 'late' is computed by the engine, in a millisecond or more, "
        "because of RegexSearch"
    )
    assert [(f.feature, f.operation) for f in fallbacks(graph, "late")] == [("coast", "RegexSearch")]


def test_an_endpoint_with_a_latency_refuses_it(small: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        small.graph_of(project(small, latency="5ms"))
    error = caught.value
    assert error.what == "the on-demand feature 'coast' is too slow for an endpoint with latency='5ms'"
    assert str(error.where).startswith("arrivals (test_fallbacks.py:")
    assert str(error.got).startswith("RegexSearch, which only the engine can compute") and "on_demand(" in str(
        error.got
    )
    assert "register" in str(error.hint)


def test_a_latency_is_a_duration(small: Any) -> None:
    late = small.nodes()["late"]
    assert endpoint(late, latency="2.5ms").budget == 0.0025
    assert endpoint(late).budget is None
    with pytest.raises(DefinitionError, match="'quick' is not a duration"):
        endpoint(late, latency="quick")
    with pytest.raises(DefinitionError, match="`latency` must be positive"):
        endpoint(late, latency="0s")
