"""Public helpers for tests: a project in a temporary directory, and a contract suite for every extension point.

with ms.testing.project({"departures": departures, "airport": airport}, data={"departures": rows}) as project:
    project.run()
    assert project.online("airport").get([{"origin": "JFK"}])
"""

from mainstem.testing.project import project

__all__ = ["project"]
