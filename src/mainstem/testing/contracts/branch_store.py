"""The contract of a `BranchStore`, in addition to that of a `Store`: forks of a branch's store."""

from __future__ import annotations

from collections.abc import Callable

from mainstem.ports import BranchStore

OpenBranch = Callable[[str], BranchStore]


def write(store: BranchStore, value: bytes) -> None:
    with store.transaction() as writer:
        writer.put("view", b"k", value)
        writer.append("log", [value])


class BranchStoreContract:
    """Define the fixture `open_branch`. It opens the store of a branch again; at first every store is empty."""

    def test_a_branch_begins_with_its_first_write(self, open_branch: OpenBranch) -> None:
        assert not open_branch("main").begun
        write(open_branch("main"), b"1")
        assert open_branch("main").begun
        assert not open_branch("dev").begun

    def test_a_fork_has_all_of_its_origin_and_goes_on_alone(self, open_branch: OpenBranch) -> None:
        main, dev = open_branch("main"), open_branch("dev")
        write(main, b"1")
        dev.fork("main")
        assert dev.begun
        assert dev.read("view", [b"k"]) == [b"1"]
        assert list(dev.entries("log", 0)) == [(0, b"1")]
        write(dev, b"2")
        assert list(dev.entries("log", 0)) == [(0, b"1"), (1, b"2")]
        assert main.read("view", [b"k"]) == [b"1"]
        assert main.end("log") == 1

    def test_a_fork_keeps_the_offsets_of_a_trimmed_log(self, open_branch: OpenBranch) -> None:
        main, dev = open_branch("main"), open_branch("dev")
        for value in (b"1", b"2", b"3"):
            write(main, value)
        main.trim("log", 2)
        dev.fork("main")
        assert list(dev.entries("log", 0)) == [(2, b"3")]
        assert dev.end("log") == 3

    def test_a_branch_that_has_begun_is_not_forked_over(self, open_branch: OpenBranch) -> None:
        write(open_branch("main"), b"1")
        write(open_branch("dev"), b"2")
        open_branch("dev").fork("main")
        assert open_branch("dev").read("view", [b"k"]) == [b"2"]

    def test_there_may_be_nothing_to_fork(self, open_branch: OpenBranch) -> None:
        open_branch("dev").fork("main")
        assert not open_branch("dev").begun

    def test_a_dropped_branch_has_not_begun_and_others_stay(self, open_branch: OpenBranch) -> None:
        write(open_branch("main"), b"1")
        open_branch("dev").fork("main")
        open_branch("dev").drop()
        open_branch("never").drop()
        dev = open_branch("dev")
        assert not dev.begun and dev.read("view", [b"k"]) == [None] and dev.end("log") == 0
        assert open_branch("main").read("view", [b"k"]) == [b"1"]
        write(dev, b"3")
        assert list(dev.entries("log", 0)) == [(0, b"3")]
