"""Rows that are set aside do not gather in memory, and none is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms
from mainstem.sources import setaside
from mainstem.sources.setaside import SetAside, Unfit


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """At most 7 rows in memory; the greatest numbers that there were."""
    monkeypatch.setattr(setaside, "LIMIT", 7)
    seen, append = [0], SetAside.append

    def counted(self: SetAside, row: Unfit) -> None:
        append(self, row)
        seen[0] = max(seen[0], len(self._newest))

    monkeypatch.setattr(SetAside, "append", counted)
    return seen


def row(number: int) -> Unfit:
    return Unfit("why", f"line {number}", json.dumps({"é": number}))


def test_rows_come_back_once_in_their_order(most: list[int]) -> None:
    aside = SetAside()
    for number in range(30):
        aside.append(row(number))
    with aside.together() as new:
        for number in range(30, 40):
            aside.append(row(number))
        new[3] = row(99)
    assert len(aside) == 40 and most == [10]
    blocks = list(aside.blocks())
    wanted = [*map(row, range(33)), row(99), *map(row, range(34, 40))]
    assert [each for block in blocks for each in block] == wanted and len(blocks) > 4
    assert list(SetAside().blocks()) == []


def test_a_collection_that_sets_many_rows_aside_keeps_all_of_them(bench: Any, most: list[int]) -> None:
    Path(bench.root, "a.csv").write_text("id,v\n1,x\n" + "2\n" * 40)  # lines that are no rows
    outcome = bench.collect(ms.files("a.csv", contract="quarantine"))
    assert (outcome.published, outcome.quarantined) == (1, 40) and 0 < most[0] <= 7
    assert len(bench.rows("quarantine.source")) == 40


def test_messages_that_do_not_fit_keep_their_own_offsets(bench: Any, broker: Any, most: list[int]) -> None:
    topic = broker.topic()
    source = ms.kafka(broker.servers, topic, schema={"id": "int64"}, contract="quarantine")
    broker.send(topic, *(json.dumps({"id": n if n % 2 else f"x{n}"}) for n in range(60)), *(b"no json",) * 20)
    outcome = bench.collect(source)
    assert (outcome.published, outcome.quarantined) == (30, 50)
    origins = {each["_origin"] for each in bench.rows("quarantine.source")}
    wanted = [*range(0, 60, 2), *range(60, 80)]
    assert origins == {f"{topic}, partition 0, offset {n}" for n in wanted}
