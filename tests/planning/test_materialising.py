"""Which steps bring views online, and nothing else."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import UnknownName
from mainstem.planning.materialising import materialising
from mainstem.planning.plan import Plan
from mainstem.project.kinds import KINDS


def load_neighbour() -> Any:
    """The module `test_planner.py` beside this file, for its graph; tests are no package."""
    spec = importlib.util.spec_from_file_location("mainstem_test_planner", Path(__file__).parent / "test_planner.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mainstem_test_planner"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made() -> Any:
    return load_neighbour()


def steps(plan: Plan) -> dict[str, str]:
    return {step.key: step.reason for step in plan.steps}


def test_what_is_online_as_declared_stays(made: Any) -> None:
    plan = materialising(made.graph(), made.situation(made.settled()), KINDS, ["airport"])
    assert not plan and plan.unchanged == ("airport",)


def test_only_views_and_their_streams_are_brought_on(made: Any) -> None:
    """`legs` has changed, too, but building it is for a run."""
    seen = made.situation(made.settled(), observed={"flights": "changed"}, pending={"departures": 3, "arrivals": 2})
    plan = materialising(made.graph(), seen, KINDS)
    assert steps(plan) == {
        "drain departures": "3 logged, not in the lake yet",
        "materialise airport": "input departures has new data",
    }
    assert plan.unchanged == ("leg",)


def test_a_rebuild_is_of_what_is_named_whatever_its_state_is(made: Any) -> None:
    seen = made.situation(made.settled(), pending={"departures": 3})
    plan = materialising(made.graph(), seen, KINDS, ["airport"], rebuild=True)
    assert list(steps(plan)) == ["drain departures", "materialise airport"]
    step = plan.steps[1]
    assert (step.reason, step.needs, step.if_changed) == ("a rebuild was requested", ("drain departures",), False)
    every = materialising(made.graph(), made.situation(made.settled()), KINDS, rebuild=True)
    assert steps(every) == {f"materialise {name}": "a rebuild was requested" for name in ("leg", "airport")}


def test_what_is_no_view_is_refused(made: Any) -> None:
    with pytest.raises(UnknownName, match="unknown feature view 'legs'") as caught:
        materialising(made.graph(), made.situation(made.settled()), KINDS, ["legs"])
    assert "leg" in str(caught.value.hint)
