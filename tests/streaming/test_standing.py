"""The last rows of the events of a stream of changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.logs.records import Event, decode_event, encode, event_columns
from mainstem.logs.standing import forget, resolved
from mainstem.ports import Store
from mainstem.stores.lmdb import LmdbStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = LmdbStore(tmp_path)
    yield made
    made.close()


def row(name: str, card: str, at: int = 0) -> dict[str, object]:
    return {"id": name, "card": card, "at": at}


def test_a_deletion_names_the_row_that_landed_last(store: Store) -> None:
    first, moved = row("p", "a"), row("p", "b")
    with store.transaction() as writer:
        made = resolved(writer, "s", ["id"], [Event(1, first), Event(2, first, True), Event(2, moved)])
    assert [event.retracts for event in made] == [None, None, None]
    with store.transaction() as writer:
        again = resolved(writer, "s", ["id"], [Event(3, first, True), Event(3, moved), Event(4, row("q", "a"), True)])
    assert [event.retracts for event in again] == [moved, None, None]
    columns = event_columns(list(enumerate(map(encode, again))))
    assert columns["card"] == ["b", "b", "a"] and columns["_deleted"] == [True, False, True]
    assert decode_event(encode(again[0])) == again[0]


def test_rows_are_forgotten_by_arrival_and_time(store: Store) -> None:
    with store.transaction() as writer:
        resolved(writer, "s", ["id"], [Event(1, row("p", "a", 1)), Event(1, row("q", "a", 9)), Event(9, row("r", "a"))])
    assert forget(store, "s", "at", 5, step=3) == 1
    assert forget(store, "s", "at", 7, step=3) == 0
    assert forget(store, "s", "at", 10, step=3) == 2


def test_rows_of_before_the_time_column_was_renamed_are_forgotten_by_their_arrival(store: Store) -> None:
    with store.transaction() as writer:
        resolved(writer, "s", ["card"], [Event(10, {"card": "a", "old": 5}), Event(90, {"card": "b", "old": None})])
    assert forget(store, "s", "at", 50, step=3) == 1
