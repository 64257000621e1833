"""Statements executed while others are being written: in order, with their errors, and ended when nobody wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ibis
import pyarrow as pa
import pytest

from mainstem.engines import duckdb as duckdb_engine
from mainstem.engines.ahead import Ahead
from mainstem.engines.duckdb import DuckdbEngine, DuckdbSession
from mainstem.errors import EngineError

NUMBERS = pa.table({"n": list(range(1_000))})
ENDLESS = "(SELECT count(DISTINCT uuid()) FROM range(10_000_000_000))"


@contextmanager
def numbers() -> Iterator[tuple[DuckdbSession, ibis.Table]]:
    with DuckdbEngine().session({"numbers": NUMBERS}) as session:
        assert isinstance(session, DuckdbSession)
        yield session, ibis.table({"n": "int64"}, name="numbers")


def used_twice(rows: ibis.Table) -> ibis.Table:
    """A relation that has to be computed, and is by a statement of its own, since two read it."""
    counted = rows.group_by(k=rows["n"] % 10).aggregate(total=rows["n"].sum())
    return counted.union(counted.filter(counted["k"] >= 5))


def begun(session: DuckdbSession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is begun ahead, from now on."""
    found, begin = list[str](), session._ahead.begin
    monkeypatch.setattr(session._ahead, "begin", lambda sql: (found.append(sql), begin(sql)))
    return found


def test_statements_are_executed_in_their_order_and_before_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    with numbers() as (session, rows):
        statements = begun(session, monkeypatch)
        chain = used_twice(used_twice(rows).rename(n="total").select("n"))
        assert session.fetch(chain.aggregate(total=chain["total"].sum()))["total"].to_pylist() == [750_500]
        assert len(statements) == 2 and statements[1].count("_kept_") == 3, "the second reads the first twice"
        assert session.fetch(used_twice(rows)).num_rows == 15 and len(statements) == 2, "what was computed is kept"


def test_the_first_error_is_the_query_s_and_the_session_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with numbers() as (session, rows):
        wrong = used_twice(rows.mutate(n=(rows["n"].cast("string") + "x").cast("int64")))
        chain = used_twice(wrong.rename(n="total").select("n"))
        for read in (session.fetch, lambda query: session.batches(query).read_all()):
            statements = begun(session, monkeypatch)
            with pytest.raises(EngineError, match="the engine refused the query") as caught:
                read(chain)
            assert "0x" in str(caught.value) and len(statements) == 2, "nothing that failed is taken for computed"
        assert session.fetch(used_twice(rows)).num_rows == 15


def test_ctrl_c_while_a_query_is_written_ends_what_was_begun() -> None:
    with pytest.raises(KeyboardInterrupt), numbers() as (session, _):
        session._ahead.begin(f"CREATE TEMP TABLE endless AS SELECT {ENDLESS} AS n")
        session._ahead.begin("CREATE TEMP TABLE never AS SELECT 1 AS n")
        time.sleep(0.2)
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mainstem-ahead")]


@pytest.mark.parametrize("read", ["fetch", "batches"])
def test_ctrl_c_while_it_is_waited_for_ends_it(read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with numbers() as (session, rows):
        session._ahead.begin(f"CREATE TEMP TABLE endless AS SELECT {ENDLESS} AS n")
        result: Any = threading.Event()

        def interrupted(future: Any, timeout: float | None = None) -> Any:
            result.wait(0.2)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("mainstem.engines.interrupts.Future.result", interrupted)
            getattr(session, read)(rows)
        assert session.fetch(rows.count().as_table()).num_rows == 1, "the session is free"


def test_statements_after_one_that_failed_are_not_executed() -> None:
    executed = list[str]()
    going = threading.Event()

    def execute(statement: str) -> None:
        going.wait(30)
        executed.append(statement)
        if statement == "bad":
            raise ValueError(statement)

    ahead = Ahead(execute, lambda: None)
    for statement in ("good", "bad", *(f"after {n}" for n in range(50))):
        ahead.begin(statement)
    going.set()
    with pytest.raises(ValueError, match="bad"):
        ahead.settle()
    assert executed == ["good", "bad"] and not ahead.is_busy
    ahead.begin("later")
    ahead.settle()
    assert executed[2:] == ["later"], "one that failed is over when it was told"
    ahead.close()


def test_what_was_begun_for_a_query_that_cannot_be_written_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with numbers() as (session, rows):
        statements = begun(session, monkeypatch)
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            written = iter([1, 0])
            compiled = duckdb_engine._compiled
            patch.setattr(duckdb_engine, "_compiled", lambda rows: 1 // next(written) and compiled(rows))
            session.fetch(used_twice(rows.mutate(n=(rows["n"].cast("string") + "x").cast("int64"))))
        assert len(statements) == 1 and not session._ahead.is_busy
        assert session.fetch(used_twice(rows)).num_rows == 15, "its error is nobody's"
