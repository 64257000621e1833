"""The package's own test of its kind of source: run where the package is installed."""

import json
from pathlib import Path

import pytest
from mainstem_example.ledger import ledger

from mainstem.testing.contracts.source import SourceContract, World


class TestLedger(SourceContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        def add(id: int, name: str) -> None:
            with (tmp_path / "ledger.jsonl").open("a") as file:
                file.write(json.dumps({"id": id, "name": name}) + "\n")

        add(1, "a")
        add(2, "b")
        return World(tmp_path, ledger("ledger.jsonl"), ledger("absent.jsonl"), add)
