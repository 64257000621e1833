"""Public helpers for tests: a project in a temporary directory, tables over given rows, and a contract suite for every
extension point.

with ms.testing.project({"departures": departures, "airport": airport}, data={"departures": rows}) as project:
    project.run()
    assert project.online("airport").get([{"origin": "JFK"}])

def test_legs(project):  # a fixture of the pytest plugin
    legs = project.build("legs", given={"flights": [{"flight_id": "UA-1"}], "planes": []})
    assert_rows(legs, [{"flight_id": "UA-1", "seats": None}])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.testing.building import Built, TestProject
    from mainstem.testing.comparing import assert_rows
    from mainstem.testing.temporary import project

_HOMES = {"project": "temporary", "assert_rows": "comparing", "TestProject": "building", "Built": "building"}

__all__ = ["Built", "TestProject", "assert_rows", "project"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mainstem.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mainstem.testing.{_HOMES[name]}"), name)
