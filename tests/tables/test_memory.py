"""What follows from a table's text is remembered for as long as nothing changes that it follows from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mainstem.graph.known import Known, Moment
from mainstem.tables import memory
from mainstem.tables.memory import Memory, key_of

KEY = key_of("types", "SELECT 1 AS n FROM legs", (("id", "int64"), ("origin", "string")))


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


def start(file: Path | None, engine: Engine, key: str = KEY) -> None:
    """What every start does."""
    known = Memory(file)
    assert known.of(key, dict[str, str], engine) == {"n": "int64"}
    known.save()


def test_it_is_asked_once(tmp_path: Path, engine: Engine) -> None:
    for _ in range(3):
        start(tmp_path / "deep" / "kept.json", engine)
    assert engine.asked == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["kept.json"]


@pytest.mark.parametrize(
    "other",
    [
        ("types", "SELECT 2 AS n FROM legs", (("id", "int64"), ("origin", "string"))),
        ("types", "SELECT 1 AS n FROM legs", (("id", "int32"), ("origin", "string"))),
        ("types", "SELECT 1 AS n FROM legs", (("origin", "string"), ("id", "int64"))),
        ("types", "SELECT 1 AS n FROM legs", (("id", "int64"),), (("origin", "string"),)),
        ("facts", "SELECT 1 AS n FROM legs", (("id", "int64"), ("origin", "string"))),
    ],
)
def test_another_key_is_asked_anew(tmp_path: Path, engine: Engine, other: tuple[object, ...]) -> None:
    start(tmp_path / "kept.json", engine)
    start(tmp_path / "kept.json", engine, key_of(*other))
    assert engine.asked == 2


def test_sets_and_mappings_have_no_order_in_a_key() -> None:
    moments = [Moment("a"), Moment("b", 1), Moment("c", -1), Moment("a", 2)]
    keys = {key_of({"x": Known(frozenset(each)), "y": 1}) for each in (moments, moments[::-1])}
    assert keys == {key_of({"y": 1, "x": Known(frozenset(moments))})}


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(memory, "version", lambda name: "9.9"),
        lambda patch: patch.setattr(memory, "_code", lambda: "another"),
        lambda patch: patch.setattr(memory.sys, "version", "3.99"),
    ],
)
def test_other_libraries_or_other_code_are_asked_anew(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    start(tmp_path / "kept.json", engine)
    memory._versions.cache_clear()
    with monkeypatch.context() as patch:
        change(patch)
        start(tmp_path / "kept.json", engine)
    memory._versions.cache_clear()
    assert engine.asked == 2


def test_the_code_of_every_room_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in memory._ROOMS:
        assert list((Path(memory.__file__).parents[1] / room).glob("*.py")), room
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "one.py").write_text("1")
    (tmp_path / "tables" / "memory.py").touch()
    monkeypatch.setattr(memory, "__file__", str(tmp_path / "tables" / "memory.py"))
    found = {memory._code()}
    for room in memory._ROOMS:
        (tmp_path / room / "one.py").write_text("2")
        found.add(memory._code())
    assert len(found) == len(memory._ROOMS) + 1


def test_what_is_no_longer_asked_for_is_forgotten(tmp_path: Path, engine: Engine) -> None:
    for key in ("1", "2", "1"):
        start(tmp_path / "kept.json", engine, key)
    assert engine.asked == 3


def test_what_a_value_was_made_with_stays_with_it(tmp_path: Path, engine: Engine) -> None:
    for made in (1, 1, 2):
        known = Memory(tmp_path / "kept.json")
        assert known.of(f"outer {made}", int, lambda known=known: len(known.of("inner", dict, engine))) == 1
        known.save()
    assert engine.asked == 1


def test_what_is_still_asked_for_stays_when_more_is_added(tmp_path: Path, engine: Engine) -> None:
    for _ in range(2):
        known = Memory(tmp_path / "kept.json")
        for key in ("1", "2"):
            known.of(key, dict[str, str], engine)
        known.save()
    assert engine.asked == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"b": 1}}', "0\n{}"])
def test_a_file_that_cannot_be_read_is_written_anew(tmp_path: Path, engine: Engine, text: str) -> None:
    (tmp_path / "kept.json").write_text(text)
    start(tmp_path / "kept.json", engine)
    start(tmp_path / "kept.json", engine)
    assert engine.asked == 1


def test_no_damaged_byte_is_believed(tmp_path: Path, engine: Engine) -> None:
    start(tmp_path / "kept.json", engine)
    sound = (tmp_path / "kept.json").read_bytes()
    for place in range(len(sound)):
        damaged = sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :]
        (tmp_path / "kept.json").write_bytes(damaged)
        Memory(tmp_path / "kept.json").of(KEY, dict[str, str], engine)
    assert engine.asked == 1 + len(sound)


def test_a_value_of_another_form_is_asked_anew(tmp_path: Path, engine: Engine) -> None:
    start(tmp_path / "kept.json", engine)
    assert Memory(tmp_path / "kept.json").of(KEY, int, lambda: 7) == 7


def test_without_a_place_to_write_it_works_all_the_same(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "file").write_text("no directory")
    for file in (None, tmp_path / "file" / "kept.json"):
        start(file, engine)
    assert engine.asked == 2
