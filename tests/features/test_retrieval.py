"""How a model's features are found, from names alone."""

from __future__ import annotations

from typing import Any

import pytest
from ibis import _

from mainstem.errors import SchemaError, UnknownName
from mainstem.features.retrieval import Computation, retrieval_of
from mainstem.feedback.replay import only
from mainstem.models.training.blueprint import blueprint_of
from mainstem.nodes.features import feature_view, on_demand
from mainstem.nodes.reductions import last_k


def found_for(small: Any, features: Any) -> Any:
    declared = small.nodes()
    chosen = features(declared)
    changed = small.model(
        examples=declared["flights"],
        prediction_time=declared["late"].prediction_time,
        target=declared["late"].target,
        features=chosen,
    )
    return retrieval_of(small.graph_of(declared | {"late": changed}), "late")


def test_a_key_comes_from_an_earlier_view_or_else_from_the_request(small: Any) -> None:
    retrieval = found_for(small, lambda n: [n["leg"], n["airport"], n["airport"].on("dest")])
    assert [(step.prefix, step.on) for step in retrieval.lookups] == [
        ("leg", ("flight_id",)),
        ("airport", ("leg__origin",)),
        ("airport_dest", ("leg__dest",)),
    ]
    assert retrieval.request == {"flight_id": "string"}
    assert list(retrieval.columns) == [
        "leg__origin",
        "leg__dest",
        "leg__seats",
        "airport__delay_1h",
        "airport__departures_1h",
        "airport_dest__delay_1h",
        "airport_dest__departures_1h",
    ]
    assert retrieval.columns["airport__departures_1h"] == "int64"


def test_a_key_is_not_a_part_of_a_date_or_another_computed_column(small: Any) -> None:
    retrieval = found_for(small, lambda n: [n["leg"], on_demand(next__dest=_.leg__dest), n["airport"].on("dest")])
    assert retrieval.lookups[-1].on == ("leg__dest",)
    retrieval = found_for(small, lambda n: [on_demand(next__flight_id=_.flight_id), n["leg"]])
    assert retrieval.lookups[-1].on == ("flight_id",)


def test_lookups_that_need_nothing_of_each_other_are_one_round(small: Any) -> None:
    retrieval = found_for(
        small,
        lambda n: [
            n["leg"],
            n["airport"],
            n["airport"].on("dest"),
            on_demand(crowd=_.airport__departures_1h * _.leg__seats),
            n["airport"].on("leg__origin"),
        ],
    )
    rounds = [r if isinstance(r, Computation) else [lookup.prefix for lookup in r] for r in retrieval.rounds]
    assert rounds == [["leg"], ["airport", "airport_dest"], retrieval.actions[3], ["airport_leg__origin"]]


def test_without_an_earlier_view_the_key_is_asked_for(small: Any) -> None:
    retrieval = found_for(small, lambda n: ["seats", n["airport"]])
    assert retrieval.request == {"seats": "int64", "origin": "string"}
    assert list(retrieval.columns) == ["seats", "airport__delay_1h", "airport__departures_1h"]


def test_on_demand_features_may_read_fields_and_earlier_features(small: Any) -> None:
    retrieval = found_for(
        small, lambda n: ["origin", n["airport"], on_demand(crowd=_.airport__departures_1h * _.seats)]
    )
    computation = retrieval.actions[-1]
    assert isinstance(computation, Computation)
    assert retrieval.request == {"origin": "string", "seats": "int64"}
    assert retrieval.columns["crowd"] == "int64"
    assert computation.function(
        {"airport__departures_1h": 3, "seats": 10, "origin": "JFK", "airport__delay_1h": 1.0}
    ) == {"crowd": 30}


def test_a_list_is_read_by_an_on_demand_feature_or_refused(small: Any) -> None:
    delays = feature_view("departures", key="origin", windows="1h", recent=last_k(_.dep_delay, 2))

    def looked_up(*more: Any) -> Any:
        return small.graph_of(small.nodes(features=["origin", delays, *more]) | {"delays": delays})

    with pytest.raises(SchemaError, match="and no on-demand feature reads 'delays__recent_1h'") as caught:
        looked_up()
    assert "ms.on_demand(newest=_.delays__recent_1h[0]" in str(caught.value.hint)
    graph = looked_up(on_demand(newest=_.delays__recent_1h[0], how_many=_.delays__recent_1h.length()))
    retrieval = retrieval_of(graph, "late")
    assert retrieval.columns["delays__recent_1h"] == "array<float64>"
    assert retrieval.actions[-1].function.fallbacks == {}
    assert [c.name for c in blueprint_of(graph, "late").inputs] == ["origin", "newest", "how_many"]
    assert blueprint_of(graph, "late").inputs[1].sources == ("departures.dep_delay",)
    steps = only(retrieval, {"newest"}, {"origin", "newest", "how_many"}).actions
    assert [isinstance(step, Computation) for step in steps] == [False, True]


def test_an_unknown_field_names_what_there_is(small: Any) -> None:
    with pytest.raises(UnknownName, match="'seat'") as caught:
        found_for(small, lambda n: ["seat"])
    assert caught.value.hint == "did you mean 'seats'?"


def test_a_key_that_two_views_bring_must_be_told_apart(small: Any) -> None:
    def features(n: Any) -> Any:
        return [n["leg"], n["leg"].on("leg__dest"), n["airport"]]

    with pytest.raises(SchemaError, match="is ambiguous"):
        found_for(small, features)


def test_a_key_must_have_the_view_s_type(small: Any) -> None:
    declared = small.nodes()
    with pytest.raises(SchemaError, match="wrong type for the key of 'airport'"):
        changed = small.model(
            examples=declared["flights"],
            prediction_time=declared["late"].prediction_time,
            target=declared["late"].target,
            features=[declared["airport"].on("seats")],
        )
        small.graph_of(declared | {"late": changed})


def test_two_features_of_one_name_are_refused(small: Any) -> None:
    with pytest.raises(SchemaError, match="have the name 'leg__origin'"):
        found_for(small, lambda n: [n["leg"], n["leg"]])


def test_views_take_only_what_they_know(small: Any) -> None:
    declared = small.nodes()
    flights = declared["flights"]
    for broken, what in (
        (feature_view(flights, key="flight", columns=["seats"]), "'flight'"),
        (feature_view(flights, key="flight_id", columns=["seat"]), "'seat'"),
        (feature_view(flights, key="flight_id", windows="1h", x=_.seat.mean()), "'seat'"),
    ):
        with pytest.raises(UnknownName, match=what):
            small.graph_of({"flights": flights, "broken": broken})
    for broken, what in (
        (feature_view(flights, key="flight_id", windows="1h", x=_.seats + 1), "not a feature over a window"),
        (feature_view(flights, key="flight_id", windows="1h", x=_.seats.collect()), "not a feature over a window"),
        (feature_view(flights, key="flight_id", windows="1h", x=_.origin.mean()), "mean"),
        (feature_view(flights, key="dep_delay", columns=["seats"]), "cannot be a key"),
    ):
        with pytest.raises(SchemaError, match=what):
            small.graph_of({"flights": flights, "broken": broken})
