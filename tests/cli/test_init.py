"""`mainstem init`: a project from a template."""

import json
import tomllib
from pathlib import Path

import pytest

from mainstem.cli.app import run
from mainstem.cli.templates import names


def test_the_flights_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "new" / "flights"
    assert run(["init", "flights", str(directory), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {"mainstem.toml", "flights.py", "world.py", "simulate.py", "sql/carrier_days.sql", ".gitignore"} <= set(
        files
    )
    assert all((directory / file).is_file() for file in files)
    assert not any("__pycache__" in file for file in files)
    assert tomllib.loads((directory / "mainstem.toml").read_text())["project"] == {
        "name": "flights",
        "modules": ["flights"],
    }


def test_the_shop_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "shop", str(tmp_path / "shop"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    expected = {"mainstem.toml", "shop.py", "company.py", "sql/monthly.sql", "tests/test_shop.py", "README.md"}
    assert {*expected, ".gitignore"} == set(files)


def test_an_empty_directory_will_do_and_a_used_one_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "flights", str(tmp_path)]) == 0
    (tmp_path / "flights.py").write_text("mine")
    assert run(["init", "flights", str(tmp_path)]) == 1
    assert "requires an empty directory" in capsys.readouterr().err
    assert (tmp_path / "flights.py").read_text() == "mine"


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert run(["init", "flights", str(tmp_path / "file")]) == 1


def test_an_unknown_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "fligths", str(tmp_path)]) == 2
    assert "did you mean 'flights'?" in capsys.readouterr().err
    assert names() == ["flights", "fraud", "pricing", "recommend", "shop"]
