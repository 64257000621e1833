"""The contract of the `OnlineStore` and `EventLog` ports, which one adapter implements together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mainstem.errors import StorageError
from mainstem.ports import Store

OpenStore = Callable[[], Store]


class StoreContract:
    """Define the fixture `open_store`: a function that opens the same store again. It is empty at first."""

    def test_values_are_read_in_the_order_of_the_keys(self, open_store: OpenStore) -> None:
        with open_store().transaction() as writer:
            writer.put("a", b"1", b"one")
            writer.put("a", b"2", b"")
            writer.put("b", b"1", b"other")
        store = open_store()
        assert store.read("a", [b"2", b"3", b"1", b"1"]) == [b"", None, b"one", b"one"]
        assert store.read("b", [b"1"]) == [b"other"]
        assert store.read("never written", [b"1", b"2"]) == [None, None]
        assert store.read("a", []) == []

    def test_many_spaces_are_read_at_once(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            writer.put("a", b"1", b"one")
            writer.put("b", b"2", b"two")
        wanted = [("b", [b"2", b"1"]), ("none", [b"1"]), ("a", []), ("a", [b"1"]), ("b", [b"2"])]
        assert store.read_many(wanted) == [[b"two", None], [None], [], [b"one"], [b"two"]]
        assert store.read_many([]) == []

    def test_a_writer_sees_what_it_wrote_and_others_do_not_yet(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            writer.put("a", b"k", b"v")
            assert writer.get("a", b"k") == b"v"
            assert writer.get("a", b"none") is None
            assert store.read("a", [b"k"]) == [None]
        assert store.read("a", [b"k"]) == [b"v"]

    def test_what_was_announced_is_read_as_it_stands(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            for n in range(4):
                writer.put("a", b"%d" % n, b"old")
        with store.transaction() as writer:
            writer.put("a", b"0", b"new")
            writer.delete("a", b"1")
            writer.prefetch("a", (b"%d" % n for n in range(5)))
            writer.prefetch("none", [])
            writer.put("a", b"2", b"new")
            assert [writer.get("a", b"%d" % n) for n in range(5)] == [b"new", None, b"new", b"old", None]
            writer.clear("a")
            writer.prefetch("a", [b"3"])
            assert writer.get("a", b"3") is None
            writer.put("a", b"3", b"newer")
            assert writer.get("a", b"3") == b"newer"
        assert store.read("a", [b"%d" % n for n in range(5)]) == [None, None, None, b"newer", None]

    def test_many_values_at_once_are_as_one_by_one(self, open_store: OpenStore) -> None:
        store, keys = open_store(), [b"%d" % n for n in range(4)]
        with store.transaction() as writer:
            assert writer.get_many("a", keys) == [None] * 4
            writer.put_many("a", {b"1": b"one", b"2": b""})
            writer.put_many("none", {})
            assert writer.get_many("a", [b"2", b"0", b"1", b"1"]) == [b"", None, b"one", b"one"]
        with store.transaction() as writer:
            writer.put_many("a", {b"1": b"uno", b"x" * 700: b"long"})
            writer.delete("a", b"2")
            assert writer.get_many("a", [b"1", b"2", b"x" * 700]) == [b"uno", None, b"long"]
            assert writer.get_many("a", []) == []
        assert store.read("a", [*keys, b"x" * 700]) == [None, b"uno", None, None, b"long"]
        assert store.count("none") == 0

    def test_an_exception_rolls_all_back(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            writer.put("a", b"k", b"old")
            writer.append("log", [b"0"])
        with pytest.raises(ZeroDivisionError), store.transaction() as writer:
            writer.put("a", b"k", b"new")
            writer.put("new space", b"k", b"new")
            writer.append("log", [b"1"])
            writer.append("new log", [b"1"])
            _ = 1 / 0
        assert store.read("a", [b"k"]) == [b"old"]
        assert store.read("new space", [b"k"]) == [None]
        assert (store.end("log"), store.end("new log")) == (1, 0)
        with store.transaction() as writer:
            writer.put("another", b"k", b"v")
            assert writer.append("another log", [b"x"]) == 0
        assert store.read("new space", [b"k"]) == [None]
        assert list(store.entries("another log", 0)) == [(0, b"x")]

    def test_delete_clear_and_count(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            for space in ("a", "b"):
                for n in range(300):
                    writer.put(space, b"%d" % n, b"v")
            writer.put("a", b"5", b"again")
            writer.delete("a", b"7")
            writer.delete("a", b"never there")
            writer.delete("no such space", b"x")
        assert (store.count("a"), store.count("b"), store.count("none")) == (299, 300, 0)
        with store.transaction() as writer:
            writer.clear("a")
            writer.clear("no such space")
            writer.put("a", b"new", b"v")
        assert (store.count("a"), store.count("b")) == (1, 300)
        assert store.read("a", [b"5", b"new"]) == [None, b"v"]

    def test_a_space_is_cleared_piece_by_piece(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            for n in range(250):
                writer.put("a", b"%d" % n, b"v")
            writer.put("b", b"k", b"v")
        counts = []
        left = True
        while left:
            with store.transaction() as writer:
                left = writer.clear("a", 100)
            counts.append(store.count("a"))
        assert counts in ([150, 50, 0], [0]), "a store that clears quickly may clear everything at once"
        with store.transaction() as writer:
            assert not writer.clear("no such space", 100)
        assert store.read("b", [b"k"]) == [b"v"]

    def test_all_of_a_space_is_scanned_page_by_page(self, open_store: OpenStore) -> None:
        store = open_store()
        values = {key: key[:8] for key in (b"", b"\x00", b"\xff" * 9, b"k" * 600, b"l" * 5_000)}
        values |= {b"%d" % n: b"v%d" % n for n in range(2_500)}
        with store.transaction() as writer:
            for key, value in values.items():
                writer.put("a", key, value)
            writer.put("b", b"other", b"v")
            writer.delete("a", b"7")
            writer.put("a", b"m" * 700, b"gone")
            writer.delete("a", b"m" * 700)
        del values[b"7"]
        pages = list(store.scan("a", 100))
        assert len(pages) > 1 and dict(entry for page in pages for entry in page) == values
        assert store.count("a") == len(values)
        assert list(store.scan("never written")) == []

    def test_what_is_there_all_the_time_is_scanned_while_others_write(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            for n in range(1_000):
                writer.put("a", b"%04d" % n, b"v")
        seen: set[bytes] = set()
        for page in store.scan("a", 50):
            seen |= {key for key, _ in page}
            with store.transaction() as writer:
                for n in range(0, 1_000, 2):
                    writer.delete("a", b"%04d" % n)
                    writer.put("a", b"more %d" % n, b"v")
        assert {b"%04d" % n for n in range(1, 1_000, 2)} <= seen

    def test_sizes(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            for n in range(1_000):
                writer.put("large", b"%d" % n, b"v" * 1_000)
            writer.put("small", b"k", b"v")
            writer.append("log", [b"p" * 1_000] * 100)
        sizes = store.sizes()
        assert sizes.spaces.keys() == {"large", "small"} and sizes.logs.keys() == {"log"}
        assert 1_000_000 <= sizes.spaces["large"] < 2_000_000
        assert 2 <= sizes.spaces["small"] < 1_000
        assert 100_000 <= sizes.logs["log"] < 200_000
        with store.transaction() as writer:
            writer.clear("large")
        store.trim("log", 99)
        assert store.sizes().spaces.keys() == {"small"}
        assert store.sizes().logs["log"] < 20_000

    def test_a_store_says_where_it_is_and_what_it_promises(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.durability and store.where

    def test_keys_of_any_bytes_and_length(self, open_store: OpenStore) -> None:
        store = open_store()
        keys = [b"", b"\x00", b"\x00\x00", b"\xff" * 4, b"k" * 505, b"k" * 506, b"k" * 507, b"k" * 5000, b"k" * 5001]
        with store.transaction() as writer:
            for n, key in enumerate(keys):
                writer.put("a", key, b"%d" % n)
        assert store.read("a", keys) == [b"%d" % n for n in range(len(keys))]
        assert store.count("a") == len(keys)
        with store.transaction() as writer:
            writer.delete("a", keys[-1])
        assert store.read("a", keys[-2:]) == [b"%d" % (len(keys) - 2), None]

    def test_spaces_without_number(self, open_store: OpenStore) -> None:
        store = open_store()
        spaces = [f"view/Größe/{n:064x}" for n in range(2_000)] + ["s" * 600, "s" * 601, ""]
        with store.transaction() as writer:
            for n, space in enumerate(spaces):
                writer.put(space, b"k", b"%d" % n)
        assert [store.read(space, [b"k"])[0] for space in spaces] == [b"%d" % n for n in range(len(spaces))]

    def test_a_large_value(self, open_store: OpenStore) -> None:
        value = bytes(range(256)) * 40_000
        with open_store().transaction() as writer:
            writer.put("a", b"k", value)
        assert open_store().read("a", [b"k"]) == [value]

    def test_offsets_have_no_gap(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.end("log") == 0
        firsts = []
        for size in (1, 3, 0, 2):
            with store.transaction() as writer:
                firsts.append(writer.append("log", [b"p"] * size))
        assert firsts == [0, 1, 4, 4]
        assert store.end("log") == 6
        assert [offset for offset, _ in store.entries("log", 0)] == [0, 1, 2, 3, 4, 5]

    def test_entries_from_an_offset_and_with_a_limit(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            writer.append("log", [b"%d" % n for n in range(2_500)])
            writer.append("log2", [b"other"])
        assert list(store.entries("log", 2_498)) == [(2_498, b"2498"), (2_499, b"2499")]
        assert [offset for offset, _ in store.entries("log", 990, limit=20)] == list(range(990, 1_010))
        assert list(store.entries("log", 2_500)) == []
        assert list(store.entries("none", 0)) == []
        assert len(list(store.entries("log", 0))) == 2_500

    def test_a_payload_takes_as_many_offsets_as_its_size(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            assert writer.append("log", [b"a", b"b"], [1, 1_500]) == 0
            assert writer.append("log", [b"c"]) == 1_501
            assert writer.append("log", [], []) == 1_502
        with store.transaction() as writer:
            assert writer.append("log", [b"d", b"e"], [3, 2]) == 1_502
        assert store.end("log") == 1_507
        everything = [(0, b"a"), (1, b"b"), (1_501, b"c"), (1_502, b"d"), (1_505, b"e")]
        assert list(open_store().entries("log", 0)) == everything
        assert list(store.entries("log", 2)) == everything[2:], "the second payload begins before"
        assert list(store.entries("log", 1, limit=1_501)) == everything[1:3]
        store.trim("log", 1_502)
        assert list(store.entries("log", 0)) == everything[3:] and store.end("log") == 1_507

    def test_a_payload_without_an_offset_is_refused(self, open_store: OpenStore) -> None:
        store = open_store()
        for sizes in ([0, 1], [1], [1, 1, 1]):
            with pytest.raises(ValueError, match="offset"), store.transaction() as writer:
                writer.append("log", [b"a", b"b"], sizes)
        assert (store.end("log"), list(store.entries("log", 0))) == (0, [])

    def test_what_is_appended_while_entries_are_read_is_left_for_the_next(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            writer.append("log", [b"0", b"1"])
        reading = store.entries("log", 0)
        assert next(reading) == (0, b"0")
        with store.transaction() as writer:
            writer.append("log", [b"2"])
        assert list(reading) == [(1, b"1")]

    def test_trimming_keeps_the_offsets(self, open_store: OpenStore) -> None:
        store = open_store()
        with store.transaction() as writer:
            writer.append("log", [b"%d" % n for n in range(3_000)])
        store.trim("log", 2_900)
        assert store.end("log") == 3_000
        assert next(iter(store.entries("log", 0))) == (2_900, b"2900")
        store.trim("log", 10_000)
        assert list(store.entries("log", 0)) == []
        with store.transaction() as writer:
            assert writer.append("log", [b"next"]) == 3_000
        assert list(open_store().entries("log", 0)) == [(3_000, b"next")]

    def test_a_log_that_was_lost_goes_on_where_it_was(self, open_store: OpenStore) -> None:
        store = open_store()
        store.begin("log", 40)
        assert (store.end("log"), list(store.entries("log", 0))) == (40, [])
        store.begin("log", 7)
        with store.transaction() as writer:
            assert writer.append("log", [b"a", b"b"]) == 40
        assert list(open_store().entries("log", 0, limit=100)) == [(40, b"a"), (41, b"b")]
        assert list(store.entries("log", 41)) == [(41, b"b")]

    def test_writers_take_turns(self, open_store: OpenStore) -> None:
        def add() -> None:
            store = open_store()
            for _ in range(25):
                with store.transaction() as writer:
                    writer.put("a", b"n", b"%d" % (int(writer.get("a", b"n") or b"0") + 1))
                    writer.append("log", [b"x"])

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store = open_store()
        assert store.read("a", [b"n"]) == [b"100"]
        assert store.end("log") == 100

    def test_one_read_sees_one_state(self, open_store: OpenStore) -> None:
        keys = [b"%d" % n for n in range(50)]
        both = [("a", keys), ("b", keys)]
        stop = threading.Event()

        def write() -> None:
            store, turn = open_store(), 0
            while not stop.is_set():
                turn += 1
                with store.transaction() as writer:
                    for key in keys:
                        writer.put("a", key, b"%d" % turn)
                        writer.put("b", key, b"%d" % turn)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            store = open_store()
            assert all(len(set(store.read("a", keys))) == 1 for _ in range(500))
            assert all(len({v for values in store.read_many(both) for v in values}) == 1 for _ in range(500))
        finally:
            stop.set()
            thread.join()

    def test_a_closed_store_says_so(self, open_store: OpenStore) -> None:
        store, other = open_store(), open_store()
        store.close()
        store.close()
        with pytest.raises(StorageError):
            store.read("a", [b"k"])
        assert other.read("a", [b"k"]) == [None]
