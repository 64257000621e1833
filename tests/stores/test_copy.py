"""A copy of a store goes on by itself from where the original was."""

from pathlib import Path

from mainstem.stores.lmdb import LmdbStore


def test_a_copy_has_everything_and_goes_its_own_way(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "main")
    with store.transaction() as writer:
        writer.put("view/airport", b"JFK", b"1")
        writer.append("events/departures", [b"a", b"b"])
    store.copy(tmp_path / "dev")
    with store.transaction() as writer:
        writer.put("view/airport", b"JFK", b"2")
    copy = LmdbStore(tmp_path / "dev")
    assert copy.read("view/airport", [b"JFK"]) == [b"1"] and copy.end("events/departures") == 2
    with copy.transaction() as writer:
        assert writer.append("events/departures", [b"c"]) == 2
    assert store.end("events/departures") == 2
    copy.close()
    store.close()
