"""How a project's modules are imported, and what is said of those that cannot be."""

from __future__ import annotations

import json
import os
import py_compile
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

import mainstem as ms
from mainstem.checks.audit import QUARANTINE
from mainstem.errors import DefinitionError, SchemaError
from mainstem.nodes.hidden import RESERVED
from mainstem.project.collect import from_project
from mainstem.streaming.unreadable import PREFIX
from mainstem.tables.fitting import STATISTICS

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


def project_of(root: Path, code: str, **sql: str) -> None:
    """Write a project: its only module, and files below sql/ (`a__b` is `sql/a/b.sql`)."""
    (root / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["shop"]\n\n[params]\nleast = 3\n')
    (root / "shop.py").write_text(f"import mainstem as ms\n{code}")
    for name, text in sql.items():
        file = root / "sql" / f"{name.replace('__', '/')}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize("held", ["[{}]", "({},)", "{{'a': {}}}", "[[{{'a': ({},)}}]]"])
def test_a_named_node_in_a_collection_is_a_node_of_the_project(tmp_path: Path, held: str) -> None:
    project_of(tmp_path, "sources = " + held.format("ms.files('a.csv', name='orders')"))
    assert set(from_project(tmp_path, ["shop"])) == {"orders"}


@pytest.mark.parametrize("held", ["[{}]", "({},)", "{{'a': {}}}", "{{{}}}"])
def test_a_node_without_a_name_in_a_collection_is_refused(tmp_path: Path, held: str) -> None:
    project_of(tmp_path, "sources = " + held.format("ms.files('a.csv')"))
    with pytest.raises(DefinitionError, match=r"a files in shop\.sources has no name") as error:
        from_project(tmp_path, ["shop"])
    assert error.value.where is not None and error.value.where.startswith("shop.py:2  sources = ")
    assert error.value.hint == "give it name=…, or assign it to an attribute of the module"


def test_a_collection_may_hold_what_is_an_attribute_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(FLIGHTS)
    project_of(tmp_path, "import flights\norders = ms.files('a.csv')\nall = [flights.flights, orders]\nall.append(all)")
    assert set(from_project(tmp_path, ["shop", "flights"])) == {"orders", "flights"}


def test_sql_lies_in_folders(tmp_path: Path) -> None:
    project_of(tmp_path, "orders = ms.files('a.csv')", first="SELECT 1", staging__eu__second="SELECT $least AS n")
    (tmp_path / "sql" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "sql" / ".ipynb_checkpoints" / "first.sql").write_text("SELECT 2")
    found = from_project(tmp_path, ["shop"], {"least": 3})
    assert set(found) == {"orders", "first", "second"}
    assert found["second"].sql == "SELECT 3 AS n"  # type: ignore[attr-defined]
    assert str(found["second"].origin) == "sql/staging/eu/second.sql:1"


def test_two_files_of_one_name_are_both_named(tmp_path: Path) -> None:
    project_of(tmp_path, "", a__daily="SELECT 1", b__daily="SELECT 2")
    with pytest.raises(DefinitionError, match="two nodes have the name 'daily'") as error:
        from_project(tmp_path, ["shop"])
    assert error.value.where == "sql/a/daily.sql:1 and sql/b/daily.sql:1"


@pytest.mark.parametrize("prefix", ["dataset", "judged", "predictions", "quarantine", "Quarantine", "unreadable"])
def test_a_reserved_name_is_refused(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    project_of(tmp_path, f"a = ms.files('a.csv')\nb = ms.table(lambda a: a, name='{prefix}.a')")
    with ms.load(tmp_path) as project, pytest.raises(DefinitionError, match=f"'{prefix}.a' is reserved") as error:
        project.plan()
    assert str(error.value.where).startswith("shop.py:3")
    project_of(tmp_path, "a = ms.files('a.csv')", **{f"{prefix}.a": "SELECT * FROM a"})
    with ms.load(tmp_path) as project, pytest.raises(DefinitionError, match="is reserved") as error:
        project.plan()
    assert str(error.value.where) == f"sql/{prefix}.a.sql:1"


def test_the_reserved_names_are_those_that_are_stored() -> None:
    assert {QUARANTINE, PREFIX, STATISTICS} <= set(RESERVED)


def test_a_modules_place_is_relative_to_the_root(tmp_path: Path) -> None:
    project_of(tmp_path, "from parts.more import orders")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "more.py").write_text("import mainstem as ms\norders = ms.files('a.csv')\n")
    assert str(from_project(tmp_path, ["shop"])["orders"].origin).startswith("parts/more.py:2  orders")


@pytest.mark.parametrize(
    ("made", "column", "hint"),
    [
        ("ibis.struct({'a': a.id})", "struct<a: int64>", "make a column of each field"),
        ("ibis.map(ibis.array([a.name]), ibis.array([a.id]))", "map<string, int64>", "make columns of its values"),
        ("ibis.array([ibis.array([a.id])])", "array<array<int64>>", "make a row of each item"),
        ("ibis.null()", "null", "cast it to the type that it is to have"),
    ],
)
def test_a_column_that_cannot_be_stored_is_refused_before_the_run(
    tmp_path: Path, made: str, column: str, hint: str
) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,x\n")
    code = f"import ibis\na = ms.files('a.csv')\n@ms.table\ndef b(a):\n    return a.mutate(x={made})"
    project_of(tmp_path, code)
    with ms.load(tmp_path) as project, pytest.raises(SchemaError) as error:
        project.plan()
    assert error.value.what == f"column 'x' of type {column} cannot be stored"
    assert str(error.value.where).startswith("b (shop.py:4") and str(error.value.hint).startswith(hint)


def test_a_struct_of_a_source_is_json_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "at": {"x": 1}}\n')
    project_of(tmp_path, "a = ms.files('a.jsonl')")
    with ms.load(tmp_path) as project:
        project.run()
        assert json.loads(project.table("a").to_pyarrow()["at"][0].as_py()) == {"x": 1}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_change_of_the_same_second_and_size_is_seen(
    tmp_path: Path, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "shop.py"
    second = int(time.time())

    def load(text: str) -> tuple[str, ...]:
        file.write_text(text)
        os.utime(file, (second, second))
        if compiled:
            py_compile.compile(str(file))
        return from_project(tmp_path, ["shop"])["orders"].key  # type: ignore[attr-defined, no-any-return]

    assert load('import mainstem as ms\norders = ms.files("a.csv", key="aa")\n') == ("aa",)
    compiled = False
    assert load('import mainstem as ms\norders = ms.files("a.csv", key="bb")\n') == ("bb",)
    assert sys.dont_write_bytecode is False
    os.utime(file, (second - 60, second - 60))
    from_project(tmp_path, ["shop"])
    assert list((tmp_path / "__pycache__").glob("shop.*.pyc"))  # an older text is compiled once
