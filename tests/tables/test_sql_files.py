"""Files of SQL tables: directives in comments, checks, and parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import ibis
import pytest

import mainstem as ms
from mainstem.engines.sealed import connect
from mainstem.errors import DefinitionError, MainstemError, RunFailed, SchemaError, SettingsError, UnknownName
from mainstem.nodes.tables import Table
from mainstem.tables.sql_conditions import SqlCondition
from mainstem.tables.sql_files import DIRECTIVES, parse_file
from mainstem.tables.sql_params import bound, literal

Write = Callable[..., Table]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, params: dict[str, Any] | None = None) -> Table:
        file = tmp_path / "t.sql"
        file.write_text(text)
        return parse_file(file, params)

    return write


# ── directives ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("-- checks: not_null(a)", "unknown directive 'checks'", "did you mean 'check'?"),
        ("-- keys: a", "unknown directive 'keys'", "did you mean 'key'?"),
        ("-- Keys: a", "unknown directive 'Keys'", "did you mean 'key'?"),
        ("-- Key: a", "unknown directive 'Key'", "did you mean 'key'?"),
        ("--KEY: a", "unknown directive 'KEY'", "did you mean 'key'?"),
        ("  -- ownr : a", "unknown directive 'ownr'", "did you mean 'owner'?"),
        ("-- assume-known: a: b", None, None),
        ("-- materialized: view", "unknown directive 'materialized'", "a sentence that is no directive"),
        ("-- key:", "the directive 'key' has no value", None),
        ("-- key: a\n-- key: b", "the directive 'key' is given twice", "several columns: -- key: a, b"),
        ("-- assume_known: a: x\n-- assume_known: a: y", "`assume_known` is given twice for 'a'", None),
    ],
)
def test_a_directive_is_understood_or_refused(write: Write, line: str, what: str | None, hint: str | None) -> None:
    text = f"-- About it.\n{line}\nSELECT a FROM legs"
    if what is None:
        assert write(text).assume_known == {}
        return
    with pytest.raises(DefinitionError) as error:
        write(text)
    assert error.value.what == what
    assert str(error.value.where).endswith(line.splitlines()[-1].strip())
    assert error.value.hint is None if hint is None else str(error.value.hint).startswith(hint)


@pytest.mark.parametrize("word", DIRECTIVES)
@pytest.mark.parametrize("form", ["-- {}: x", "   -- {}: x", "/* {}: x */", "/*\n * {}: x\n */"])
def test_a_directive_below_the_first_line_of_the_query_is_refused(write: Write, word: str, form: str) -> None:
    with pytest.raises(DefinitionError, match=f"the directive '{word}' is not above the query"):
        write(f"SELECT a\n{form.format(word)}\nFROM legs")


@pytest.mark.parametrize(
    "line", ["-- Note: in minutes", "-- TODO: more", "-- see https://example.org", "-- in minutes"]
)
def test_prose_is_no_directive(write: Write, line: str) -> None:
    node = write(f"{line}\n-- key: a\n\n-- And more.\nSELECT a FROM legs -- in km\n-- Note: key\n")
    assert node.key == ("a",) and node.description == line.removeprefix("-- ")


def test_a_byte_order_mark_hides_no_directive(tmp_path: Path) -> None:
    (tmp_path / "t.sql").write_bytes("\ufeff-- key: a\nSELECT a FROM legs".encode())
    assert parse_file(tmp_path / "t.sql").key == ("a",)


# ── the check `expression` ───────────────────────────────────────────────────────────────────────────

LEGS = ibis.table({"a": "int64", "Dist": "float64", "gone": "timestamp('UTC', 6)", "x": "string"}, name="legs")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Callable[..., ms.Project]]:
    """Opens a project of four numbers and the SQL table `t` over them."""
    opened: list[ms.Project] = []

    def make(text: str, params: str = "") -> ms.Project:
        (tmp_path / "mainstem.toml").write_text(f'[project]\nname = "shop"\nmodules = ["shop"]\n{params}')
        (tmp_path / "shop.py").write_text("import mainstem as ms\nn = ms.files('n.csv', key='Id')\n")
        if not (tmp_path / "n.csv").exists():
            (tmp_path / "n.csv").write_text("Id,low,high,name\n1,1,2,a\n2,5,4,b\n3,,4,\n4,7,7,d\n")
        (tmp_path / "sql").mkdir(exist_ok=True)
        (tmp_path / "sql" / "t.sql").write_text(text)
        opened.append(ms.load(tmp_path))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_an_expression_sets_rows_aside(project: Callable[..., ms.Project]) -> None:
    text = '-- key: Id\n-- check: expression("low <= HIGH", severity="quarantine")\nSELECT * FROM n'
    with project(text) as opened:
        opened.run()
        assert opened.table("t").to_pyarrow()["Id"].to_pylist() == [1, 3, 4]
        (row,) = opened.table("quarantine.t").to_pyarrow().to_pylist()
        assert (row["Id"], row["_check"]) == (2, "expression(low <= HIGH)")


def test_an_expression_that_fails_shows_the_columns_that_it_reads(project: Callable[..., ms.Project]) -> None:
    text = '-- key: Id\n-- check: expression("upper(name) <> \'B\' OR low < $most", name="fit")\nSELECT * FROM n'
    with project(text, "[params]\nmost = 3\n") as opened, pytest.raises(RunFailed) as failed:
        opened.run()
    (cause,) = failed.value.causes
    assert cause.what == "t: expression(fit) is violated by 1 of 4 rows" and cause.got == "Id=2, low=5, name=b"


@pytest.mark.parametrize(
    ("condition", "got"),
    [
        ("a > 0", "SELECT"),
        ("Dist / 2 > 1 AND gone < now()", "SELECT"),
        ("dist", "'dist' is not a condition"),
        ("dits > 1", "unknown column 'dits'"),
        ("sum(a) > 1", "a condition reads one row"),
        ("row_number() OVER () > 1", "a condition reads one row"),
        ("a IN (SELECT 1)", "a condition reads one row"),
        ("a >", "the condition cannot be parsed"),
        ("a > 0) OR (a", "the condition cannot be parsed"),
        ("a > 0; DROP TABLE legs", "the condition cannot be parsed"),
        ("nosuch(a)", "the condition does not fit the table"),
        ("x > a::date", "the condition does not fit the table"),
        ("getenv('HOME') = x", "the SQL calls getenv()"),
    ],
)
def test_a_condition_is_of_one_row(condition: str, got: str) -> None:
    if got == "SELECT":
        assert SqlCondition(condition)(LEGS).type().is_boolean()
        return
    with pytest.raises(MainstemError) as error:
        SqlCondition(condition)(LEGS)
    assert error.value.what == got


def test_the_condition_of_a_file_is_refused_at_its_node(project: Callable[..., ms.Project]) -> None:
    with project('-- check: expression("lwo > 1")\nSELECT * FROM n') as opened, pytest.raises(UnknownName) as error:
        opened.plan()
    assert error.value.hint == "did you mean 'low'?" and str(error.value.where).startswith("t (sql/t.sql:1")


@pytest.mark.parametrize("arguments", ["", "3", "condition=3", "'low > 1', severity='bad'"])
def test_what_is_no_expression(write: Write, arguments: str) -> None:
    with pytest.raises(DefinitionError) as error:
        write(f"-- check: expression({arguments})\nSELECT 1 AS low FROM n")
    assert str(error.value.where).startswith("t.sql:1")


def test_names_that_are_close_are_said(write: Write) -> None:
    with pytest.raises(DefinitionError) as error:
        write("-- check: notnull(a)\nSELECT a FROM legs")
    assert error.value.hint == "did you mean 'not_null'?"


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────

VALUES: dict[str, Any] = {
    "whole": 42,
    "below": -7,
    "float": 0.1,
    "tiny": 1e-300,
    "text": "it's $whole -- not; 'x'",
    "yes": True,
    "day": date(2024, 2, 29),
    "at": datetime(2024, 2, 29, 12, 30, 0, 5, tzinfo=UTC),
    "clock": time(10, 30),
    "many": ["a'b", "c"],
    "days": [date(2024, 1, 1), date(2024, 1, 2)],
    "floats": [0.5, 1.5],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_bound_as_its_type(tmp_path: Path, name: str) -> None:
    text = bound(f"SELECT ${name} AS v, '${name}' AS t -- ${name}", VALUES, tmp_path / "t.sql")
    with connect() as connection:
        value, untouched = connection.execute(text).fetchone() or ()
    assert (value, type(value)) == (VALUES[name], type(VALUES[name])) and untouched == f"${name}"


def test_lines_stay_as_written(tmp_path: Path) -> None:
    text = "SELECT\n  $whole\n-- $whole\nFROM t -- x\nWHERE a - $below > 0 AND b IN $many\n"
    expected = "SELECT\n  42\n-- $whole\nFROM t -- x\nWHERE a - (-7) > 0 AND b IN ['a''b', 'c']\n"
    assert bound(text, VALUES, tmp_path / "t.sql") == expected


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("SELECT 1,\n $wohle", "unknown parameter 'wohle'", "did you mean 'whole'?"),
        ("SELECT 1,\n $zzz", "unknown parameter 'zzz'", "add zzz = … to [params] in mainstem.toml"),
        ("SELECT 1,\n $1", "a parameter has no name", None),
        ("SELECT 1,\n ?", "a parameter has no name", None),
    ],
)
def test_an_unknown_parameter_is_refused(write: Write, text: str, what: str, hint: str | None) -> None:
    with pytest.raises(DefinitionError) as error:
        write(text, VALUES)
    assert (error.value.what, error.value.hint) == (what, hint)
    assert str(error.value.where).startswith("t.sql:2")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (datetime(2024, 1, 1), "is an instant without an offset"),
        (float("nan"), "is not a finite number"),
        ([], "is an empty list"),
        ([1, "a"], "is a list without one type"),
        ([[1]], "is a list of lists"),
        ({"a": 1}, "has an unsupported type"),
    ],
)
def test_a_value_without_a_literal_is_refused(write: Write, value: Any, what: str) -> None:
    with pytest.raises(SettingsError, match=f"the parameter 'p' {what}"):
        write("SELECT 1", {"p": value})


def test_a_changed_value_is_a_changed_definition(project: Callable[..., ms.Project]) -> None:
    text = "-- key: Id\nSELECT Id FROM n WHERE low >= $least"
    project(text, "[params]\nleast = 5\n").run()
    later = project(text, "[params]\nleast = 7\n")
    assert [(step.key, step.reason) for step in later.plan().steps] == [("build t", "its definition changed")]
    later.run()
    assert later.table("t").to_pyarrow()["Id"].to_pylist() == [4]


def test_literals_are_read_back() -> None:
    assert literal(1.0) == "CAST(1.0 AS DOUBLE)" and literal(["a"]) == "['a']"


# ── names of columns ─────────────────────────────────────────────────────────────────────────────────


def test_columns_are_named_as_written(project: Callable[..., ms.Project]) -> None:
    with project("-- key: id\nSELECT Id AS id, LOW, name AS NAME, x.y FROM n, (SELECT 1 AS y) x") as opened:
        opened.run()
        assert opened.table("t").to_pyarrow().column_names == ["id", "low", "NAME", "y"]
        assert opened.query("SELECT ID AS iD, * EXCLUDE (id) FROM t").column_names == ["iD", "low", "NAME", "y"]
        assert opened.table("t").to_ibis().columns == ("id", "low", "NAME", "y")
    with pytest.raises(SchemaError, match="two columns have the name 'id'"):
        project("SELECT Id AS id, Id AS ID FROM n").plan()
