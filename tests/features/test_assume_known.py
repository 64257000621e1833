"""What a view assumes known changes when its rows may be used: in the dataset, online, and in the fingerprint."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import ibis
import pytest
from ibis import _

from mainstem.errors import UnknownName
from mainstem.features.dataset import dataset
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.nodes.features import feature_view
from mainstem.nodes.instants import micros_of
from mainstem.planning.outlook import Situation
from mainstem.planning.planner import plan
from mainstem.project.kinds import KINDS

SAID = {"departed_at": "flights leave on time"}


def declared(small: Any, column: str, said: dict[str, str], *, modelled: bool = True) -> dict[str, Any]:
    """The small project with a `column` in `leg` that the view assumes known, and a model of it."""
    nodes = small.nodes()
    leg = feature_view(nodes["flights"], key="flight_id", columns=["seats", column], assume_known=said)
    late = small.model(
        examples=nodes["flights"],
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.arr_delay > 15,
        features=[leg],
    )
    return {"flights": nodes["flights"], "leg": leg, **({"late": late} if modelled else {})}


def prints(graph: Any) -> dict[str, str]:
    return {definition.name: definition.fingerprint for definition in graph}


def test_the_view_is_another_and_so_is_the_model(small: Any) -> None:
    """Above all for the planner: what is online was made as the view was."""
    plain = small.graph_of(declared(small, "departed_at", {}, modelled=False))
    assuming = small.graph_of(declared(small, "departed_at", SAID))
    assert prints(plain)["flights"] == prints(assuming)["flights"]
    assert plain["leg"].made_by != assuming["leg"].made_by
    assert compiled(assuming, "leg").known == plain["flights"].known["seats"]


def test_the_reason_is_only_words(small: Any) -> None:
    other = {"departed_at": "somebody else says so"}
    one, another = (small.graph_of(declared(small, "departed_at", said)) for said in (SAID, other))
    assert prints(one) == prints(another)


def test_what_changes_no_row_changes_no_fingerprint(small: Any) -> None:
    """`dest` is known as early as `seats` is."""
    one = small.graph_of(declared(small, "dest", {}))
    other = small.graph_of(declared(small, "dest", {"dest": "it is on the ticket"}))
    assert prints(one) == prints(other)


def test_a_changed_mind_brings_the_view_online_anew(small: Any, world: Any) -> None:
    """The dataset and the online store agree before and after, and the planner knows of the change."""
    here = world(declared(small, "dest", {}))
    here.put("flights", [small.flight(0, departed_at=small.NOON)])
    here.materialise("leg")
    here.release = replace(
        here.release,
        fingerprints=prints(here.graph) | {"leg": here.graph["leg"].made_by},
        inputs={"materialise leg": {"flights": here.release.tables["flights"].id}},
        models={"late": "late-1"},
    )
    assert not plan(here.graph, Situation(here.release), KINDS, "leg")
    here.graph = small.graph_of(declared(small, "departed_at", SAID))
    (step,) = plan(here.graph, Situation(here.release), KINDS, "leg").steps
    assert (step.key, step.reason) == ("materialise leg", "its definition, or that of an input, changed")
    here.materialise("leg")
    (row,) = here.fetch(dataset(here.graph, "late"))
    online = OnlineView(compiled(here.graph, "leg"), here.store, here.release.online["leg"])
    at = micros_of(small.NOON - timedelta(hours=1))
    (reading,) = online.read([("F0",)], at)
    assert row["leg__departed_at"] == small.NOON
    assert reading.values == {"seats": row["leg__seats"], "departed_at": micros_of(row["leg__departed_at"])}


def test_an_unknown_column_is_refused(small: Any) -> None:
    with pytest.raises(UnknownName, match="departed") as caught:
        small.graph_of(declared(small, "departed_at", {"departed": "flights leave on time"}))
    assert "leg (test_assume_known.py" in str(caught.value.where) and "departed_at" in str(caught.value.hint)
