"""One flipped bit in a stored file: the same answer or a clear error, never other rows and never other scores.

LMDB's keys and pages have no checksum, so a flip may hide a record of the online store. The answer then has a flag.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attack.reading import look, whole
from command_line import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

WHERE = {
    "iceberg metadata": (".mainstem/lake/tables", "*.metadata.json", 8),
    "iceberg manifests": (".mainstem/lake/tables", "*.avro", 12),
    "catalog": (".mainstem/lake", "catalog.db", 12),
    "state": (".mainstem/state", "state.db", 14),
    "model": (".mainstem/lake/models", "*", 10),
    "online store": (".mainstem/online", "data.mdb", 14),
}


def flip(path: Path, chance: random.Random) -> str:
    """Flip a bit of a byte that is not zero: most pages of a database are empty. Return what was flipped."""
    raw = bytearray(path.read_bytes())
    place = chance.randrange(len(raw))
    while not raw[place]:
        place = chance.randrange(len(raw))
    bit = chance.randrange(8)
    raw[place] ^= 1 << bit
    path.write_bytes(raw)
    return f"bit {bit} of byte {place} of {path}"


def files(project: Project, place: str, pattern: str) -> list[Path]:
    """The files of a kind, in an order that is the same in every run: their names are random."""

    def order(path: Path) -> tuple[str, str, int]:
        parts = path.relative_to(project.root).parts
        return "/".join(parts[:-1]), path.suffix, path.stat().st_mtime_ns

    found = [path for path in (project.root / place).rglob(pattern) if path.is_file()]
    if pattern == "*.metadata.json":  # older ones are never read
        found = [max(path.parent.glob(pattern)) for path in {path.parent: path for path in found}.values()]
    return sorted(found, key=order)


@pytest.fixture
def stored(live: Project, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Brings back what was stored before a flip."""
    kept = tmp_path / "kept"
    shutil.copytree(live.root / ".mainstem", kept)

    def restore() -> None:
        shutil.rmtree(live.root / ".mainstem")
        shutil.copytree(kept, live.root / ".mainstem")

    yield restore


@pytest.mark.parametrize("kind", WHERE)
def test_a_flipped_bit(live: Project, stored: Callable[[], None], chance: random.Random, tally: Any, kind: str) -> None:
    expected = whole(live)
    stored()
    place, pattern, flips = WHERE[kind]
    wrong = []
    for _ in range(flips):
        flipped = flip(chance.choice(files(live, place, pattern)), chance)
        seen = look(live)
        for ended in (seen.reader, seen.status):
            if ended.code not in (0, 1) or "Traceback" in ended.err:
                wrong.append((flipped, f"code {ended.code}", ended.err[-3_000:]))
        if seen.reader.code == 0:
            outcome = "same answers" if seen.answers == expected else "other answers"
            if kind == "online store" and outcome == "other answers" and hides(expected, seen.answers):
                outcome = "a hidden record, flagged"
        else:
            outcome = "clear error" if seen.reader.code == 1 else "crash"
        tally(outcome)
        if outcome == "other answers":
            wrong.append((flipped, outcome, str(differing(expected, seen.answers))[:600]))
        stored()
    assert wrong == [], "\n\n".join(map(str, wrong))


def hides(expected: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether answers differ only by records that are not found: predictions say so, and features have no value."""
    if any(expected[part] != found[part] for part in ("release", "tables")):
        return False
    predictions = zip(expected["predictions"], found["predictions"], strict=True)
    online = zip(expected["online"], found["online"], strict=True)
    flagged = (any(flag.startswith("unknown:") for flag in {*b[2]} - {*a[2]}) for a, b in predictions if a != b)
    empty = (not any(value for name, value in b.items() if name != "origin") for a, b in online if a != b)
    return all(flagged) and all(empty)


def differing(expected: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    parts = [(key, expected[key], found[key]) for key in ("release", "predictions", "online") if key in expected]
    tables = [(name, rows, found["tables"].get(name)) for name, rows in expected["tables"].items()]
    return [(name, _other(a, b), _other(b, a)) for name, a, b in (*parts, *tables) if a != b]


def _other(rows: Any, than: Any) -> Any:
    return [row for row in rows if row not in (than or [])][:2] if isinstance(rows, list) else rows


def test_a_flipped_bit_in_a_data_file_is_named(
    live: Project, stored: Callable[[], None], chance: random.Random, tally: Any
) -> None:
    assert live.mainstem("check", "--files").code == 0
    for _ in range(14):
        path = chance.choice(files(live, ".mainstem/lake/tables", "*.parquet"))
        flipped = flip(path, chance)
        ended = live.mainstem("check", "--files")
        table = path.parent.parent.name.rpartition("__")[0].replace("__", ".")
        named = [line.split()[1] for line in ended.out.splitlines() if line.startswith("damaged")]
        assert (ended.code, named) == (1, [table]), (flipped, ended)
        assert "Traceback" not in ended.err
        tally("named by check --files")
        stored()
