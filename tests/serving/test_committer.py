from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import StorageError, Unavailable
from mainstem.ports import Writer
from mainstem.serving.committer import Committer
from mainstem.stores.lmdb import LmdbStore
from mainstem.stores.redis import RedisStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    found = LmdbStore(tmp_path)
    yield found
    found.close()


def append(number: int) -> object:
    return lambda writer: writer.append("log", [str(number).encode()])


def test_work_of_many_threads_is_all_on_disk_once(store: LmdbStore) -> None:
    committer = Committer(store)
    offsets: list[int] = []

    def client(number: int) -> None:
        offsets.extend(committer.submit(append(number * 100 + i)).result() for i in range(25))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.close()
    assert sorted(offsets) == list(range(200))
    assert len({payload for _, payload in store.entries("log", 0)}) == 200


def test_what_waits_together_is_committed_together_and_a_failure_takes_nothing_along(store: LmdbStore) -> None:
    committer = Committer(store)
    holding, held = threading.Event(), threading.Event()

    def hold(writer: Writer) -> None:
        held.set()
        holding.wait(10)

    first = committer.submit(hold)
    assert held.wait(10)
    transactions: list[int] = []

    def note(writer: Writer) -> None:
        transactions.append(id(writer))
        writer.append("log", [b"good"])

    def fail(writer: Writer) -> None:
        writer.append("log", [b"bad"])
        raise ValueError("no")

    good, bad, other = committer.submit(note), committer.submit(fail), committer.submit(note)
    holding.set()
    first.result(10)
    good.result(10)
    other.result(10)
    with pytest.raises(ValueError, match="no"):
        bad.result(10)
    committer.close()
    assert [payload for _, payload in store.entries("log", 0)] == [b"good", b"good"]


def test_a_request_that_gave_up_stops_nothing(store: LmdbStore) -> None:
    """Its future is cancelled: while it is written, or while it waits. What only waits is not written."""
    committer = Committer(store)
    holding, held = threading.Event(), threading.Event()

    def hold(writer: Writer) -> int:
        held.set()
        holding.wait(10)
        return writer.append("log", [b"begun"])

    async def give_up() -> None:
        waiting = [asyncio.wrap_future(committer.submit(hold))]
        assert held.wait(10)
        waiting += [asyncio.wrap_future(committer.submit(append(1)))]
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        holding.set()
        await asyncio.wait_for(asyncio.wrap_future(committer.submit(append(2))), 10)

    asyncio.run(give_up())
    committer.close()
    assert [payload for _, payload in store.entries("log", 0)] == [b"begun", b"2"]


def test_a_damaged_record_fails_only_what_needs_it(store: LmdbStore) -> None:
    with store.transaction() as writer:
        writer.put_many("space", {b"a": b"of-a", b"b": b"of-b"})
    environment = store._env
    with environment.env.begin(write=True) as transaction, transaction.cursor(environment.values) as cursor:
        (_, one), (place, _) = list(cursor)
        transaction.put(place, one, db=environment.values)
    committer = Committer(store)
    holding, held = threading.Event(), threading.Event()

    def hold(writer: Writer) -> None:
        held.set()
        holding.wait(10)

    first = committer.submit(hold)
    assert held.wait(10)
    good, bad = (committer.submit(lambda writer, key=key: writer.get("space", key)) for key in (b"a", b"b"))
    holding.set()
    first.result(10)
    assert good.result(10) == b"of-a"
    with pytest.raises(StorageError, match="a record of the online store is damaged"):
        bad.result(10)
    committer.close()


def test_a_store_that_is_away_is_not_asked_for_each_alone(make_redis: Any) -> None:
    transactions: list[str] = []

    class Counted(RedisStore):
        def transaction(self) -> AbstractContextManager[Writer]:
            transactions.append("begun")
            return super().transaction()

    server = make_redis()
    store = Counted(server.url, "flights", "main")
    committer = Committer(store)
    holding, held = threading.Event(), threading.Event()

    def hold(writer: Writer) -> None:
        writer.append("log", [b"first"])
        held.set()
        holding.wait(10)

    futures = [committer.submit(hold)]
    assert held.wait(10)
    futures += [committer.submit(append(number)) for number in range(30)]
    server.kill()
    holding.set()
    for future in futures:
        with pytest.raises(StorageError, match="cannot be reached"):
            future.result(60)
    committer.close()
    store.close()
    assert len(transactions) == 2


def test_close_finishes_what_waits_and_takes_no_more(store: LmdbStore) -> None:
    committer = Committer(store)
    futures = [committer.submit(append(i)) for i in range(50)]
    committer.close()
    assert [future.result(0) for future in futures] == list(range(50))
    with pytest.raises(Unavailable):
        committer.submit(append(51)).result(0)
