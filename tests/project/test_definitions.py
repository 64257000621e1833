"""Loading a project: what is kept beside the state, and what a later start need not ask again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.settings import load
from mainstem.tables import sql

FLIGHTS = """
import mainstem as ms
flights = ms.files("flights.csv", key="id", known="always", schema={"id": "int64", "delay": "DELAY"})
"""
QUERY = "-- How late.\nSELECT sum(delay) AS total FROM flights"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(delay: str = "int64", query: str = QUERY) -> Path:
        (tmp_path / "mainstem.toml").write_text('[project]\nname = "p"\nmodules = ["p"]\n')
        (tmp_path / "p.py").write_text(FLIGHTS.replace("DELAY", delay))
        (tmp_path / "flights.csv").write_text("id,delay\n1,2\n")
        (tmp_path / "sql").mkdir(exist_ok=True)
        (tmp_path / "sql" / "days.sql").write_text(query)
        return tmp_path

    return written


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that the engine is asked about from now on."""
    queries: list[str] = []
    described = sql._described

    def ask(query: str, *rest: object) -> dict[str, str]:
        queries.append(query)
        return described(query, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sql, "_described", ask)
    return queries


def schema(path: Path) -> dict[str, str]:
    """Load the project as a run does, which remembers what it learns."""
    with ms.load(path) as project:
        columns = dict(project.graph["days"].schema or {})
        project.keep_definitions()
        return columns


def test_sql_is_typed_once(write: Callable[..., Path], asked: list[str]) -> None:
    assert schema(write()) == schema(write()) == {"total": "int64"}
    assert len(asked) == 1
    assert schema(write(query=QUERY.replace("How", "Just how").replace("SELECT", "select"))) == {"total": "int64"}
    assert len(asked) == 1, "it says the same"


def test_a_changed_text_or_input_is_typed_anew(write: Callable[..., Path], asked: list[str]) -> None:
    assert schema(write()) == {"total": "int64"}
    assert schema(write(query="SELECT avg(delay) AS mean FROM flights")) == {"mean": "float64"}
    assert schema(write(delay="float64")) == {"total": "float64"}
    assert len(asked) == 3


def test_a_later_start_needs_no_engine(write: Callable[..., Path]) -> None:
    root = write()
    program = f"import mainstem as ms, sys; ms.load({str(root)!r}).plan(); print('duckdb' in sys.modules)"

    def run() -> None:
        with ms.load(root) as project:
            project.run()

    def starts_an_engine() -> bool:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return done.stdout.strip() == "True"

    assert starts_an_engine(), "to introspect the source"
    run()
    assert not starts_an_engine()
    (root / ".mainstem" / "definitions.json").unlink()
    assert starts_an_engine(), "to type the SQL"
    run()
    assert not starts_an_engine()


def test_what_can_be_computed_again_is_beside_the_state(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write()
    assert load(root).cache == root / ".mainstem"
    monkeypatch.setenv("MAINSTEM_STATE", "sqlite:///elsewhere/state.db")
    assert load(root).cache == root / "elsewhere"
    monkeypatch.setenv("MAINSTEM_STATE", "postgresql://localhost/state")
    assert load(root).cache == root / ".mainstem"
