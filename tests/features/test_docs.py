"""Every example of docs/features-and-time.md, on every interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.algebra import AGGREGATIONS
from mainstem.nodes.instants import micros_of
from mainstem.stores.lmdb import LmdbStore
from mainstem.testing.contracts.features import AggregationContract
from mainstem.testing.features import SCHEMA, Interpreter, example_view, naive, same
from mainstem.testing.interpreters import offline, online
from mainstem.testing.reduce import REDUCE

PAGE = Path(__file__).parents[2] / "docs" / "features-and-time.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture(scope="module")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Interpreter]]:
    store = LmdbStore(tmp_path_factory.mktemp("online"), sync=False)
    yield [offline(DuckdbEngine()), online(store, batch=1)]
    store.close()


class Example:
    """The words that the page's examples are written in."""

    def __init__(self, interpreters: list[Interpreter]) -> None:
        self.interpreters, self.events, self.asked = interpreters, [], 0

    def view(self, **settings: Any) -> None:
        self.compiled = example_view(**settings)

    def event(
        self, at: str | None, arrived: str | None = None, seq: Any = ..., gone: str | None = None, **columns: Any
    ) -> None:
        happened = None if at is None else _micros(at)
        came = happened if arrived is None else _micros(arrived)
        row = {**dict.fromkeys(SCHEMA), "who": "a", "where": 1, **columns}
        landed = {"_seq": len(self.events) if seq is ... else seq, "_gone": None if gone is None else _micros(gone)}
        self.events.append(row | {"at": happened, "_arrived": came} | landed)

    def ask(self, at: str, who: str = "a", where: int = 1) -> dict[str, Any]:
        key = tuple({"who": who, "where": where}[column] for column in self.compiled.key)
        (wanted,) = naive(self.compiled, self.events, [(key, _micros(at))])
        for interpreter in self.interpreters:
            (found,) = interpreter(self.compiled, self.events, [(key, _micros(at))])
            assert found.keys() == wanted.keys() and all(same(found[name], wanted[name]) for name in wanted)
        self.asked += 1
        return wanted


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0] for block in BLOCKS])
def test_the_page_is_true(block: str, interpreters: list[Interpreter]) -> None:
    example = Example(interpreters)
    with patch.dict(AGGREGATIONS), patch.dict(REDUCE):
        exec(block, {"_": _, "ms": ms, "view": example.view, "event": example.event, "ask": example.ask})
    assert example.asked, "an example that asks nothing shows nothing"


def test_the_page_has_an_example_for_every_rule() -> None:
    rules = re.findall(r"^\*\*", PAGE.read_text(), re.M)
    assert len(BLOCKS) >= len(rules) >= 25


def test_the_page_names_every_aggregation() -> None:
    assert all(f"`{name}`" in PAGE.read_text() for name in AGGREGATIONS)


class TestOneOfOnesOwn(AggregationContract):
    """The page's own aggregation passes the contract."""

    @pytest.fixture
    def reduction(self) -> Iterator[Any]:
        (block,) = (block for block in BLOCKS if "@register" in block)
        with patch.dict(AGGREGATIONS), patch.dict(REDUCE):
            exec(block.split("\nview(")[0], {})
            yield ms.aggregate("rms", _.number)


def _micros(text: str) -> int:
    return micros_of(datetime.fromisoformat(f"2013-12-01T{text}").replace(tzinfo=UTC))
