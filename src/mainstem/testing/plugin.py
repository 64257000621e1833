"""The pytest plugin: the fixture `project`, to build tables of the project over given rows.

It is an entry point of pytest. It imports Mainstem's other modules only when a test asks for the fixture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mainstem.testing.building import TestProject


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "the directory of the Mainstem project that is tested (default: the root directory of pytest)"
    parser.addini("mainstem_project", text, default="")
    parser.getgroup("mainstem").addoption("--mainstem-project", metavar="DIR", default=None, help=text)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Tell how a built table differs from the rows of `assert built == rows`."""
    equals = getattr(left, "equals_rows", None)
    return repr(equals(right)).split("\n") if op == "==" and equals is not None else None


@pytest.fixture(scope="session")
def project(request: pytest.FixtureRequest) -> TestProject:
    """The project's declarations: `project.build("legs", given={"flights": rows})`."""
    from mainstem.testing.building import TestProject

    config = request.config
    given = config.getoption("--mainstem-project") or config.getini("mainstem_project")
    return TestProject(Path(config.rootpath, given or "."))
