"""What a plan holds, and why, for every way in which a branch can differ from its project."""

from dataclasses import replace

import ibis
import pytest

import mainstem as ms
from mainstem.errors import UnknownName
from mainstem.graph.dag import Dag
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.records import Binding, Release
from mainstem.planning.outlook import OBSERVED, Situation
from mainstem.planning.plan import Plan
from mainstem.planning.planner import plan
from mainstem.ports import Snapshot
from mainstem.project.kinds import KINDS

flights = ms.files("flights.csv", known="always")
departures = ms.stream("departures", schema={"at": "timestamp('UTC', 6)"}, time="at")
legs = ms.table(lambda flights: flights, name="legs")
leg = ms.feature_view(legs, key="id", columns=["x"])
airport = ms.feature_view(departures, key="origin", windows="1h", n=ibis._.count())
late = ms.model(examples=legs, prediction_time="at", target=ibis._.x > 1, features=[leg])
arrivals = ms.endpoint(late)
NODES = {
    "flights": flights,
    "departures": departures,
    "legs": legs,
    "leg": leg,
    "airport": airport,
    "late": late,
    "arrivals": arrivals,
}
INPUTS = {
    "flights": (),
    "departures": (),
    "legs": ("flights",),
    "leg": ("legs",),
    "airport": ("departures",),
    "late": ("legs", "leg"),
    "arrivals": ("late",),
}


def graph(**changed: str) -> Graph:
    def define(name: str) -> Definition:
        stored = name in ("flights", "departures", "legs")
        read = ibis.table({"x": "int64"}, name=name) if stored else None
        own = changed.get(name, f"fp-{name}")
        return Definition(name, NODES[name], INPUTS[name], own, own, read=read)

    return Graph({name: define(name) for name in NODES}, Dag(INPUTS))


def snapshot(table: str, id: int = 1) -> Snapshot:
    return Snapshot(table, table, id, "", 1, "run", (), properties={OBSERVED: "seen"})


def settled() -> Release:
    stored = {name: snapshot(name) for name in ("flights", "departures", "legs", "predictions.arrivals")}
    return Release(
        id="rel",
        branch="main",
        run="run",
        tables=stored,
        models={"late": "late-1"},
        endpoints={"arrivals": Binding("late-1")},
        fingerprints={name: f"fp-{name}" for name in NODES},
        online={"leg": "fp-leg", "airport": "fp-airport"},
        inputs={
            "build legs": {"flights": 1},
            "materialise leg": {"legs": 1},
            "materialise airport": {"departures": 1},
            "train late": {"legs": 1},
            "monitor arrivals": {"legs": 1},
        },
    )


def situation(release: Release, **given: object) -> Situation:
    return replace(Situation(release, {"flights": "seen"}), **given)  # type: ignore[arg-type]


def steps(made: Plan) -> list[str]:
    return [step.key for step in made.steps]


def test_nothing_changed_nothing_to_do() -> None:
    made = plan(graph(), situation(settled()), KINDS)
    assert not made
    assert set(made.unchanged) == set(NODES)


def test_the_first_run_does_everything_but_judge_what_was_never_served() -> None:
    made = plan(graph(), Situation(Release(id="", branch="main", run="")), KINDS)
    assert set(steps(made)) == {
        "collect flights",
        "drain departures",
        "build legs",
        "materialise leg",
        "materialise airport",
        "train late",
    }
    by_key = {step.key: step for step in made.steps}
    assert by_key["build legs"].needs == ("collect flights",)
    assert "materialise leg" not in by_key["train late"].needs


def test_new_data_flows_down_but_does_not_retrain() -> None:
    made = plan(graph(), situation(settled(), observed={"flights": "changed"}), KINDS)
    assert steps(made) == ["collect flights", "build legs", "materialise leg", "monitor arrivals", "attribute arrivals"]
    assert made.steps[0].reason == "the source has changed"
    assert made.steps[1].reason == "input flights has new data"
    assert not made.steps[0].if_changed and all(step.if_changed for step in made.steps[1:])


def test_a_source_that_cannot_tell_is_always_read() -> None:
    assert "collect flights" in steps(plan(graph(), situation(settled(), observed={"flights": None}), KINDS))


def test_a_changed_definition_reaches_what_is_made_from_it() -> None:
    made = plan(graph(legs="other"), situation(settled()), KINDS)
    assert made.steps[0].reason == "its definition, or that of an input, changed"
    assert "materialise leg" in steps(made) and "collect flights" not in steps(made)


def test_a_changed_model_is_trained_but_not_promoted() -> None:
    assert steps(plan(graph(late="other"), situation(settled()), KINDS)) == ["train late"]


def test_logged_events_and_predictions_are_drained_and_judged() -> None:
    made = plan(graph(), situation(settled(), pending={"departures": 7, "arrivals": 3}), KINDS)
    drained, judged = ["drain departures", "materialise airport"], ["monitor arrivals", "attribute arrivals"]
    assert steps(made) == [*drained, "drain arrivals", *judged]
    assert made.steps[0].reason == "7 logged, not in the lake yet"
    assert made.steps[1].reason == "input departures has new data" and made.steps[1].if_changed


def test_what_the_online_store_has_lost_is_built_anew() -> None:
    lost = {"pending": {"departures": -7, "arrivals": -3}, "gone": frozenset({"leg", "airport"})}
    made = plan(graph(), situation(settled(), **lost), KINDS)
    assert {step.key: step.reason for step in made.steps} == {
        "drain departures": "its log is gone from the online store",
        "materialise leg": "its online state is gone from the store",
        "materialise airport": "its online state is gone from the store",
        "drain arrivals": "its log is gone from the online store",
    }


def test_an_accepted_finding_is_verified() -> None:
    made = plan(graph(), situation(settled(), awaiting=frozenset({"arrivals"})), KINDS)
    assert steps(made) == ["monitor arrivals", "attribute arrivals"]


def test_what_a_selected_run_left_behind_is_made_up_for() -> None:
    ahead = replace(settled(), tables={**settled().tables, "flights": snapshot("flights", 2)})
    made = plan(graph(), situation(ahead), KINDS)
    assert made.steps[0].key == "build legs" and made.steps[0].reason == "input flights has new data"
    assert not made.steps[0].if_changed


def test_selection_limits_the_steps() -> None:
    made = plan(graph(), situation(settled(), observed={"flights": "changed"}), KINDS, "flights legs")
    assert steps(made) == ["collect flights", "build legs"]
    with pytest.raises(UnknownName):
        plan(graph(), situation(settled()), KINDS, "flight")
