"""Every interpreter against the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.offline import tiles, visibility, windowed
from mainstem.features.online import few, records
from mainstem.stores.lmdb import LmdbStore
from mainstem.stores.redis import RedisStore
from mainstem.testing.contracts.features import InterpreterContract
from mainstem.testing.features import Interpreter
from mainstem.testing.interpreters import offline, online


class TestOffline(InterpreterContract):
    @pytest.fixture
    def interpreter(self) -> Interpreter:
        return offline(DuckdbEngine())


class TestOfflineByTiles(InterpreterContract):
    """As if every key had many events."""

    @pytest.fixture
    def interpreter(self, monkeypatch: pytest.MonkeyPatch) -> Interpreter:
        monkeypatch.setattr(visibility, "FEW", 0)
        monkeypatch.setattr(windowed, "WORTH", 0)
        monkeypatch.setattr(tiles, "CROWD", 0)
        return offline(DuckdbEngine())


class TestOfflineAsKnown(InterpreterContract):
    @pytest.fixture
    def interpreter(self) -> Interpreter:
        return offline(DuckdbEngine(), "known")

    @pytest.fixture
    def as_of(self) -> str:
        return "known"


class TestOnline(InterpreterContract):
    @pytest.fixture
    def interpreter(self, tmp_path: Path) -> Iterator[Interpreter]:
        store = LmdbStore(tmp_path / "online", sync=False)
        yield online(store)
        store.close()


class TestOnlineInParts(TestOnline):
    """As if every key had many events: a row or two to a part."""

    test_a_million_rows = None  # half a million parts are nobody's state; those of `TestOnline` have parts enough

    @pytest.fixture(autouse=True)
    def long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(records, "LONG", 100)
        monkeypatch.setattr(few, "FEW", 0)


class TestOnRedis(InterpreterContract):
    """As if every key had many events, but in one piece."""

    @pytest.fixture
    def interpreter(self, redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Interpreter]:
        monkeypatch.setattr(few, "FEW", 0)
        store = RedisStore(redis_server.url, uuid4().hex, "main")
        yield online(store)
        store.close()
