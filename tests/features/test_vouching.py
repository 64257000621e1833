"""What a model vouches for changes when a view's rows may be used: in the dataset, online, and in the fingerprint."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import ibis
import pytest
from ibis import _

from mainstem.errors import DefinitionError
from mainstem.features.dataset import dataset
from mainstem.features.online.view import OnlineView
from mainstem.features.plan import compiled
from mainstem.nodes.features import feature_view
from mainstem.nodes.instants import micros_of
from mainstem.planning.planner import Situation, plan

SAID = {"leg__departed_at": "flights leave on time"}


def declared(small: Any, column: str = "departed_at", **models: dict[str, str]) -> dict[str, Any]:
    """The small project with `departed_at` (or another column) in `leg`, and models of it that vouch."""
    nodes = small.nodes()
    leg = feature_view(nodes["flights"], key="flight_id", columns=["seats", column])
    made = {
        name: small.model(
            examples=nodes["flights"],
            prediction_time=_.scheduled_at - ibis.interval(hours=1),
            target=_.arr_delay > 15,
            features=[leg],
            assume_known=said,
        )
        for name, said in models.items()
    }
    return {"flights": nodes["flights"], "leg": leg, **made}


def prints(graph: Any) -> dict[str, str]:
    return {definition.name: definition.fingerprint for definition in graph}


def test_the_view_is_another_and_so_is_the_model(small: Any) -> None:
    """Above all for the planner: what is online was made as the view was."""
    plain = small.graph_of({n: d for n, d in declared(small).items() if n != "late"})
    vouched = small.graph_of(declared(small, late=SAID))
    assert prints(plain)["flights"] == prints(vouched)["flights"]
    assert plain["leg"].made_by != vouched["leg"].made_by
    assert compiled(vouched, "leg").known == plain["flights"].known["seats"]


def test_the_reason_is_only_words(small: Any) -> None:
    other = {"leg__departed_at": "somebody else says so"}
    assert prints(small.graph_of(declared(small, late=SAID))) == prints(small.graph_of(declared(small, late=other)))


def test_what_changes_no_row_changes_no_fingerprint(small: Any) -> None:
    """`dest` is known as early as `seats` is."""
    one = small.graph_of(declared(small, "dest", late={}))
    other = small.graph_of(declared(small, "dest", late={"leg__dest": "it is on the ticket", "origin": "so is this"}))
    assert prints(one) == prints(other)


def test_a_changed_mind_brings_the_view_online_anew(small: Any, world: Any) -> None:
    """The dataset and the online store agree before and after, and the planner knows of the change."""
    here = world(declared(small, "dest", late={}))
    here.put("flights", [small.flight(0, departed_at=small.NOON)])
    here.materialise("leg")
    here.release = replace(
        here.release,
        fingerprints=prints(here.graph) | {"leg": here.graph["leg"].made_by},
        inputs={"materialise leg": {"flights": here.release.tables["flights"].id}},
        models={"late": "late-1"},
    )
    assert not plan(here.graph, Situation(here.release), "leg")
    here.graph = small.graph_of(declared(small, late=SAID))
    (step,) = plan(here.graph, Situation(here.release), "leg").steps
    assert (step.key, step.reason) == ("materialise leg", "its definition, or how its source is read, changed")
    here.materialise("leg")
    (row,) = here.fetch(dataset(here.graph, "late"))
    online = OnlineView(compiled(here.graph, "leg"), here.store, here.release.online["leg"])
    at = micros_of(small.NOON - timedelta(hours=1))
    (reading,) = online.read([("F0",)], at)
    assert row["leg__departed_at"] == small.NOON
    assert reading.values == {"seats": row["leg__seats"], "departed_at": micros_of(row["leg__departed_at"])}


def test_uses_of_a_view_agree_on_what_is_known(small: Any) -> None:
    """One state serves them all: what one model vouches for would leak into the others."""
    assert small.graph_of(declared(small, late=SAID, later=SAID))
    with pytest.raises(DefinitionError) as caught:
        small.graph_of(declared(small, late=SAID, later={}))
    assert caught.value.what == "two uses of the view 'leg' do not agree on when its rows may be used"
    assert caught.value.got == "late vouches for departed_at; later vouches for nothing"
    assert "leg (test_vouching.py" in str(caught.value.where)
    # Where it makes no difference to the rows they need not agree.
    assert small.graph_of(declared(small, "dest", late={"leg__dest": "it is on the ticket"}, later={}))
