"""Seeded choices, counts of attacks and outcomes, and the small project that is attacked."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Project, World, live_once, one_world, publish, restored

__all__ = ["live_once", "one_world"]

SEED = os.environ.get("MAINSTEM_ATTACK_SEED", "1")
COUNTED = "attack"


class Tally:
    """Counts attacks by their outcome, and what else a test wants to say of them."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.notes: list[str] = []

    def __call__(self, outcome: str) -> None:
        self.counts[outcome] += 1

    def also(self, note: str) -> None:
        self.notes.append(note)

    def __str__(self) -> str:
        outcomes = (f"{number:,} {outcome}" for outcome, number in sorted(self.counts.items()))
        return f"{self.counts.total():,} attacks ({', '.join(outcomes)}){''.join(f'; {note}' for note in self.notes)}"


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random choices of a test, the same in every run with the same MAINSTEM_ATTACK_SEED."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def tally(request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> Iterator[Tally]:
    """Count an attack by its outcome. The counts are printed at the end of the session."""
    made = Tally()
    yield made
    record_property(COUNTED, f"{request.node.name}: {made}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines = [
        text
        for report in reports
        if getattr(report, "when", "") == "teardown"
        for name, text in report.user_properties
        if name == COUNTED
    ]
    if lines:
        terminalreporter.section(f"attacks with MAINSTEM_ATTACK_SEED={SEED}")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture
def live(live_once: Project) -> Iterator[Project]:
    with restored(live_once) as made:
        yield made


@pytest.fixture
def undisturbed(one_world: World, tmp_path: Path) -> Callable[[Project], Project]:
    """Make a project of the same data as another one has, by one run that nothing disturbs."""

    def make(attacked: Project) -> Project:
        made = publish(tmp_path / "undisturbed", one_world, '["flights", "live"]')
        for name in ("data", "past.csv"):
            source, target = attacked.root / name, made.root / name
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target)
        made.goes_on()
        assert made.mainstem("promote", "late").code == 0
        return made

    return make
