"""Matches to canonical texts by a reviewed file, and personal data in a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, NotFound, RunFailed, UnknownName

CITIES = ["Berlin", "Hamburg", "München"]
MODULE = """
import mainstem as ms

raw = ms.files("raw.csv", key="id", known="always", schema={{"id": "int64", "city": "string"}})


@ms.table(key="id", clean=[ms.clean.trim("city"), ms.clean.match("city", "clean/cities.csv", to={cities}, {more})])
def sales(raw):
    return raw
"""
ROWS = "id,city\n1,Berlin\n2,Berln\n3, Hambrug\n4,Berln\n5,Xanadu\n6,\n"


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """Lay out a project and load it; its module is imported anew each time."""

    def laid_out(more: str = 'invalid="quarantine"') -> ms.Project:
        import sys

        name = f"shop{len(list(tmp_path.glob('shop*.py')))}_{abs(hash(str(tmp_path)))}"
        (tmp_path / f"{name}.py").write_text(MODULE.format(cities=CITIES, more=more))
        (tmp_path / "mainstem.toml").write_text(f'[project]\nname = "shop"\nmodules = ["{name}"]\n')
        if not (tmp_path / "raw.csv").exists():
            (tmp_path / "raw.csv").write_text(ROWS)
        sys.modules.pop(name, None)
        return ms.load(tmp_path)

    return laid_out


def cities(project: ms.Project) -> dict[int, str | None]:
    found = project.table("sales").to_pyarrow().to_pylist()
    return {row["id"]: row["city"] for row in found}


def test_unknown_texts_are_proposed_reviewed_and_matched(project: Any, tmp_path: Path) -> None:
    with project() as before:
        before.run()
        assert cities(before) == {1: "Berlin", 6: None}
        aside = before.table("quarantine.sales").to_pyarrow().to_pylist()
        assert sorted((row["id"], row["city"], row["_check"]) for row in aside) == [
            (2, "Berln", "match(city)"),
            (3, " Hambrug", "match(city)"),
            (4, "Berln", "match(city)"),
            (5, "Xanadu", "match(city)"),
        ]
        found = before.propose_matches("sales")
        assert [(p.value, p.canonical, p.rows) for p in found] == [
            ("Berln", "Berlin", 2),
            ("Hambrug", "", 1),
            ("Xanadu", "", 1),
        ]
        assert found[0].score == pytest.approx(1 - 1 / 6, abs=1e-3)
    file = tmp_path / "clean" / "cities.csv"
    assert file.read_text().splitlines()[:2] == ["value,canonical,score", "Berln,Berlin,0.833"]
    file.write_text(file.read_text().replace("Hambrug,", "Hambrug,Hamburg"))
    with project() as reviewed:
        assert [step.node for step in reviewed.plan().steps] == ["sales"]
        reviewed.run()
        assert cities(reviewed) == {1: "Berlin", 2: "Berlin", 3: "Hamburg", 4: "Berlin", 6: None}
        assert reviewed.propose_matches("sales") == []


def test_an_unknown_text_fails_by_default_and_is_shown(project: Any) -> None:
    with project('similarity=0.5, invalid="fail"') as made, pytest.raises(RunFailed) as caught:
        made.run()
    (cause,) = caught.value.causes
    assert "match(city) finds 4 invalid of 6 values" in cause.what and "city='Berln' (2 rows)" in str(cause.got)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("city,canonical\n", "wrong header"),
        ("value,canonical,score\na,b\n", "invalid"),
        ("value,canonical,score\na,b,1\na,c,1\n", "invalid"),
    ],
)
def test_a_bad_file_is_refused_at_its_line(project: Any, tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "cities.csv").write_text(text)
    with pytest.raises(DefinitionError, match=what) as caught, project() as made:
        made.plan()
    assert "cities.csv, line" in str(caught.value.where)


def test_a_file_stays_in_the_project(tmp_path: Path) -> None:
    verb = ms.clean.match("city", "../cities.csv", to=["a"])  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="outside the project"):
        verb.loaded(tmp_path)


def test_only_a_table_with_a_match_has_proposals() -> None:
    raw = ms.files("raw.csv", key="id", known="always", schema={"id": "int64"})
    with ms.testing.project({"raw": raw, "t": ms.table(lambda raw: raw, name="t")}, {"raw": [{"id": 1}]}) as project:
        project.run()
        with pytest.raises(NotFound, match="has no verb"):
            project.propose_matches("t")
        with pytest.raises(UnknownName):
            project.propose_matches("s")


SALT = "a salt of the tests"


def test_personal_data_is_nowhere_in_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the table, not in quarantine, not in the run's record; and the salt nowhere at all."""
    raw = ms.files("raw.csv", key="id", known="always", schema={"id": "int64", "mail": "string", "phone": "string"})
    verbs = [
        ms.clean.must_match("mail", ".+@.+", invalid="quarantine"),
        ms.clean.must_match("phone", "[0-9]+", invalid="quarantine"),
        ms.clean.hash("mail", "${env:TEST_SALT}"),
        ms.clean.mask("phone", 2),
    ]
    table = ms.table(lambda raw: raw, name="t", key="id", clean=verbs)
    rows = [
        {"id": 1, "mail": "ann@example.org", "phone": "0301234"},
        {"id": 2, "mail": "bob at example", "phone": "0305678"},
        {"id": 3, "mail": "cy@example.org", "phone": "secret phone"},
    ]
    monkeypatch.setenv("TEST_SALT", SALT)
    with ms.testing.project({"raw": raw, "t": table}, {"raw": rows}) as project:
        record = project.run()
        published = project.table("t").to_pyarrow().to_pylist()
        aside = project.table("quarantine.t").to_pyarrow().to_pylist()
        assert [row["phone"] for row in published] == ["*****34"] and len(published[0]["mail"]) == 64
        assert sorted(row["phone"] for row in aside) == ["**********ne", "*****78"]
        told = json.dumps([published, aside, record.steps, project.show("t")], default=repr)
        for plain in (SALT, "ann@", "bob at", "cy@", "0301234", "0305678", "secret phone"):
            assert plain not in told, plain
        lake = project.settings.path(project.settings.profile.lake)
        held = [p for p in lake.rglob("*") if p.is_file() and SALT.encode() in p.read_bytes()]
        assert held == []


def test_the_definition_is_loaded_without_the_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = ms.files("raw.csv", key="id", known="always", schema={"id": "int64", "mail": "string"})
    table = ms.table(lambda raw: raw, name="t", clean=[ms.clean.hash("mail", "${env:TEST_SALT}")])
    monkeypatch.delenv("TEST_SALT", raising=False)
    with ms.testing.project({"raw": raw, "t": table}, {"raw": [{"id": 1, "mail": "a"}]}) as project:
        assert project.plan()
        with pytest.raises(ms.errors.MainstemError, match="TEST_SALT"):
            project.run()
