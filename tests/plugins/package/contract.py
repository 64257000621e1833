"""The package's own tests of its source, its algorithm and its store: run where the package is installed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mainstem_example.ledger import ledger
from mainstem_example.median import Median
from mainstem_example.shelf import ShelfStore

from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.testing.contracts.algorithm import AlgorithmContract
from mainstem.testing.contracts.branch_store import BranchStoreContract
from mainstem.testing.contracts.source import SourceContract, World
from mainstem.testing.contracts.store import StoreContract


class TestLedger(SourceContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        def add(id: int, name: str) -> None:
            with (tmp_path / "ledger.jsonl").open("a") as file:
                file.write(json.dumps({"id": id, "name": name}) + "\n")

        add(1, "a")
        add(2, "b")
        return World(tmp_path, ledger("ledger.jsonl"), ledger("absent.jsonl"), add)


class TestMedian(AlgorithmContract):
    learns = weighs = False

    @pytest.fixture
    def algorithm(self) -> Median:
        return Median()


@pytest.fixture
def open_branch(tmp_path: Path) -> Iterator[Callable[[str], ShelfStore]]:
    settings = Settings(tmp_path, ProjectSettings("p", ()), Profile(online="shelf://boards"), "default", Serve())
    opened: list[ShelfStore] = []

    def open_once_more(branch: str) -> ShelfStore:
        opened.append(ShelfStore(settings, branch))
        return opened[-1]

    yield open_once_more
    for store in opened:
        store.close()


@pytest.fixture
def open_store(open_branch: Callable[[str], ShelfStore]) -> Callable[[], ShelfStore]:
    return lambda: open_branch("main")


class TestShelf(StoreContract):
    pass


class TestShelfBranches(BranchStoreContract):
    pass
