"""What the engine said of a query is remembered for as long as nothing changes that it follows from."""

from pathlib import Path

import pytest

from mainstem.tables import types
from mainstem.tables.types import Types

LEGS = {"legs": {"id": "int64", "origin": "string"}}


class Engine:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, str]:
        self.asked += 1
        return {"n": "int64"}


@pytest.fixture
def engine() -> Engine:
    return Engine()


def start(file: Path | None, engine: Engine, query: str = "SELECT 1 AS n FROM legs", inputs: object = None) -> None:
    """What every start does."""
    known = Types(file)
    assert known.of(query, inputs or LEGS, engine) == {"n": "int64"}
    known.save()


def test_it_is_asked_once(tmp_path: Path, engine: Engine) -> None:
    for _ in range(3):
        start(tmp_path / "deep" / "types.json", engine)
    assert engine.asked == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["types.json"]


@pytest.mark.parametrize(
    "changed",
    [
        {"query": "SELECT 2 AS n FROM legs"},
        {"inputs": {"legs": {"id": "int32", "origin": "string"}}},
        {"inputs": {"legs": {"id": "int64", "origin": "string", "dest": "string"}}},
        {"inputs": {"legs": {"origin": "string", "id": "int64"}}},
        {"inputs": {"flights": LEGS["legs"]}},
    ],
)
def test_whatever_it_follows_from_is_typed_anew_when_changed(tmp_path: Path, engine: Engine, changed: dict) -> None:
    start(tmp_path / "types.json", engine)
    start(tmp_path / "types.json", engine, **changed)
    assert engine.asked == 2


def test_another_engine_is_asked_anew(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "types.json", engine)
    monkeypatch.setattr(types, "_versions", lambda: ("3.0.0",))
    start(tmp_path / "types.json", engine)
    assert engine.asked == 2


def test_what_is_no_longer_asked_for_is_forgotten(tmp_path: Path, engine: Engine) -> None:
    for query in ("SELECT 1 AS n", "SELECT 2 AS n", "SELECT 1 AS n"):
        start(tmp_path / "types.json", engine, query)
    assert engine.asked == 3


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"b": 1}}'])
def test_a_file_that_cannot_be_read_is_written_anew(tmp_path: Path, engine: Engine, text: str) -> None:
    (tmp_path / "types.json").write_text(text)
    start(tmp_path / "types.json", engine)
    start(tmp_path / "types.json", engine)
    assert engine.asked == 1


def test_without_a_place_to_write_it_works_all_the_same(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "file").write_text("no directory")
    for file in (None, tmp_path / "file" / "types.json"):
        start(file, engine)
    assert engine.asked == 2
