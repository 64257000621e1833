"""Batches on their way into an engine: all of them, what went wrong on the way, and an end to waiting."""

import os
import signal
import threading

import ibis
import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import EngineError, SourceError
from mainstem.ports import Feed as Port
from mainstem.sources.feed import Feed

SCHEMA = pa.schema([("n", pa.int64())])
ROWS = ibis.table({"n": "int64"}, name="rows")


def batch(n):
    return pa.RecordBatch.from_pydict({"n": [n]}, schema=SCHEMA)


def fetched(feed):
    with DuckdbEngine(threads=1).session({"rows": feed}) as session:
        return session.fetch(ROWS)["n"].to_pylist()


def test_every_batch_arrives_in_order():
    feed = Feed(map(batch, range(100)), SCHEMA)
    assert isinstance(feed, Port)
    assert fetched(feed) == list(range(100)) and feed.error is None


def test_what_went_wrong_is_kept_and_the_source_is_closed():
    closed = threading.Event()

    def batches():
        try:
            yield batch(1)
            raise SourceError("the server answered 500")
        finally:
            closed.set()

    feed = Feed(batches(), SCHEMA)
    with pytest.raises(EngineError, match="the engine refused the query"):
        fetched(feed)
    assert isinstance(feed.error, SourceError)
    assert closed.wait(30)


def test_a_reader_that_wants_no_more_closes_the_source():
    closed = threading.Event()

    def batches():
        try:
            yield from map(batch, range(1_000_000))
        finally:
            closed.set()

    reader = Feed(batches(), SCHEMA).reader()
    assert reader.read_next_batch()["n"].to_pylist() == [0]
    del reader
    assert closed.wait(30)


def test_ctrl_c_does_not_wait_for_a_source_that_does_not_answer():
    asked, answer = threading.Event(), threading.Event()

    def batches():
        yield batch(1)
        asked.set()
        answer.wait(120)

    def interrupt():
        assert asked.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            fetched(Feed(batches(), SCHEMA))
        assert not answer.is_set()
    finally:
        signal.signal(signal.SIGINT, before)
        answer.set()
