"""How a project's modules are imported, and what is said of those that cannot be."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from mainstem.errors import DefinitionError
from mainstem.project.collect import from_project

FLIGHTS = 'import mainstem as ms\nflights = ms.files("flights.csv")\n'


def test_modules_share_their_nodes(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(FLIGHTS)
    (tmp_path / "features.py").write_text(
        "import mainstem as ms\nfrom flights import flights\n"
        'leg = ms.feature_view(flights, key="flight_id", columns=["origin"])\n'
    )
    found = from_project(tmp_path, ["flights", "features"])
    assert set(found) == {"flights", "leg"}
    assert found["leg"].source is found["flights"]  # type: ignore[attr-defined]


def test_another_project_may_use_the_same_names(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "flights.py").write_text(FLIGHTS.replace("flights.csv", f"{place}.csv"))
    paths = [from_project(tmp_path / place, ["flights"])["flights"].path for place in ("one", "two")]  # type: ignore[attr-defined]
    assert paths == ["one.csv", "two.csv"]


def test_the_script_that_loads_a_project_beside_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flights.py").write_text(FLIGHTS)
    script = ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert set(from_project(tmp_path, ["flights"])) == {"flights"}
    assert sys.modules["__main__"] is script


@pytest.mark.parametrize(
    ("code", "where", "got", "hint"),
    [
        ("x = (", "broken.py:1  x = (", "SyntaxError: '(' was never closed", "python -c 'import broken'"),
        ("import nosuch", "broken.py:1  import nosuch", "ModuleNotFoundError: No module named 'nosuch'", "installed"),
        ("1 / 0", "broken.py:1  1 / 0", "ZeroDivisionError: division by zero", "python -c 'import broken'"),
        (
            "import os\nos.environ['NOT_SET_ANYWHERE']",
            "broken.py:2  os.environ['NOT_SET_ANYWHERE']",
            "KeyError: 'NOT_SET_ANYWHERE'",
            "export NOT_SET_ANYWHERE=…",
        ),
        ("import json\njson.loads('x')", "broken.py:2  json.loads('x')", "JSONDecodeError", "python -c"),
    ],
)
def test_a_broken_module_is_shown_at_the_projects_own_line(
    tmp_path: Path, code: str, where: str, got: str, hint: str
) -> None:
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(DefinitionError, match="the module 'broken' cannot be imported") as error:
        from_project(tmp_path, ["broken"])
    assert error.value.where == where
    assert got in str(error.value.got) and hint in str(error.value.hint)


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(FLIGHTS)
    with pytest.raises(DefinitionError, match="unknown module 'flihgts'") as error:
        from_project(tmp_path, ["flihgts"])
    assert error.value.hint == "did you mean 'flights'?"
