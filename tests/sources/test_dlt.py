"""Resources of dlt as sources: rows, dlt's state, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, SourceError
from mainstem.sources.inspection import introspect
from mainstem.testing.contracts.source import SourceContract, World


class TestDltContract(SourceContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        rows = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]

        @dlt.resource(name="items")
        def items() -> Any:
            yield from rows

        @dlt.resource(name="absent")
        def absent() -> Any:
            yield from json.loads((tmp_path / "absent.json").read_text())

        here = ms.dlt(items, key="id", schema={"id": "int64", "name": "string"})
        gone = ms.dlt(absent, key="id", schema={"id": "int64", "name": "string"})
        return World(tmp_path, here, gone, lambda id, name: rows.append({"id": id, "name": name}))


def incremental(rows: list[dict[str, Any]], **hints: Any) -> Any:
    @dlt.resource(name="items", **hints)
    def items(at: Any = dlt.sources.incremental("at", initial_value=0)) -> Any:  # noqa: B008 - as dlt has it
        yield [row for row in rows if row["at"] >= at.last_value]

    return items


def test_an_incremental_resource_gives_each_row_once_and_its_state_commits_with_the_rows(bench: Any) -> None:
    rows = [{"id": n, "at": n} for n in range(3)]
    source = ms.dlt(incremental(rows), key="id")
    assert (source.write, source.repeats) == ("append", True)
    assert bench.collect(source).rows_in == 3
    before = bench.tables["source"]
    assert bench.collect(source).message == "nothing new"
    rows += [{"id": 3, "at": 2}, {"id": 4, "at": 9}]  # one with the last value of the cursor
    assert bench.collect(source).rows_in == 2
    bench.tables = {**bench.tables, "source": before}  # as after a run that was killed before it published
    assert bench.collect(source).rows_in == 2
    assert sorted(bench.column("id")) == [0, 1, 2, 3, 4]


def test_rows_are_merged_by_the_primary_key(bench: Any) -> None:
    rows = [{"id": 1, "at": 1, "v": "a"}, {"id": 2, "at": 2, "v": "b"}]
    source = ms.dlt(incremental(rows, primary_key="id", write_disposition="merge"))
    assert (source.write, source.key) == ("merge", ("id",))
    bench.collect(source)
    rows.append({"id": 1, "at": 5, "v": "c"})
    bench.collect(source)
    assert [(row["id"], row["v"]) for row in bench.rows()] == [(1, "c"), (2, "b")]


@pytest.mark.parametrize("write", ["append", "merge"])
def test_a_full_refresh_begins_without_the_state(bench: Any, write: str) -> None:
    rows = [{"id": n, "at": n} for n in range(3)]
    source = ms.dlt(incremental(rows), key="id", write=write)
    bench.collect(source)
    del rows[0]
    rows.append({"id": 5, "at": 0})  # before the last value: no run would read it
    assert bench.collect(source).message == "nothing new"
    bench.collect(source, refresh=True)
    assert sorted(bench.column("id")) == [1, 2, 5]
    rows.append({"id": 6, "at": 7})
    bench.collect(source)
    assert sorted(bench.column("id")) == [1, 2, 5, 6]


AT = datetime(2026, 1, 31, 10, tzinfo=UTC)


def test_values_of_python_and_tables_of_arrow_keep_their_types(bench: Any) -> None:
    import pendulum

    row = {"n": 1, "at": pendulum.instance(AT), "text": "2026-01-31T10:00:00Z", "day": date(2026, 1, 31)}
    rest = {"d": Decimal("1.50"), "raw": b"\x00", "tags": ["a"], "deep": {"x": 1}, "flag": True}

    @dlt.resource(name="items")
    def items() -> Any:
        yield {**row, **rest}
        yield pa.table({"n": [2], "at": pa.array([AT], pa.timestamp("us", "UTC"))})

    source = ms.dlt(items)
    found = introspect(source, bench.root, bench.engine)
    instant = "timestamp('UTC', 6)"
    assert [found[name] for name in ("n", "at", "text", "day", "raw", "tags", "flag")] == [
        *("int64", instant, instant, "date", "binary", "string", "boolean")
    ]
    assert found["d"].startswith("decimal(")
    bench.collect(source)
    first, second = sorted(bench.rows(), key=lambda each: each["n"])
    assert (first["at"], first["text"], first["day"], first["d"]) == (AT, AT, date(2026, 1, 31), Decimal("1.50"))
    assert (first["tags"], first["deep"], second["at"], second["tags"]) == ('["a"]', '{"x": 1}', AT, None)


def test_a_schema_that_changes_follows_the_contract(bench: Any) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "at": 1}]
    source = ms.dlt(incremental(rows), key="id")
    bench.collect(source)
    rows.append({"id": 2.5, "at": 2, "new": "x"})
    outcome = bench.collect(source, schema={"id": "int64", "at": "int64"})
    assert "new column new (string)" in outcome.message and "id: int64 → float64" in outcome.message
    assert bench.column("id") == [1.0, 2.5]
    frozen = ms.dlt(incremental([{"id": "x", "at": 9}]), contract="freeze")
    with pytest.raises(SourceError, match="contract"):
        bench.collect(frozen, schema={"id": "float64", "at": "int64"})


def test_a_write_that_would_lose_or_repeat_rows_is_refused(bench: Any) -> None:
    rows = [{"id": 1, "at": 1}]
    with pytest.raises(SourceError, match="keeps a state"):
        bench.collect(ms.dlt(incremental(rows), write="replace"))

    @dlt.resource(name="plain")
    def plain() -> Any:
        yield from rows

    assert ms.dlt(plain).write == "replace"
    with pytest.raises(SourceError, match="keeps no state"):
        bench.collect(ms.dlt(plain, write="append"))


def test_an_error_of_a_resource_is_told(bench: Any) -> None:
    @dlt.resource(name="broken")
    def broken() -> Any:
        yield {"id": 1}
        raise ValueError("the server said no")

    with pytest.raises(SourceError, match="the resource 'broken' of dlt failed") as problem:
        bench.collect(ms.dlt(broken), schema={"id": "int64"})
    assert "the server said no" in str(problem.value.got)


@dlt.source
def shop() -> Any:
    return [dlt.resource([{"id": 1}], name="orders"), dlt.resource([{"id": 2}], name="customers")]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: ms.dlt(shop()), "`resource` is not a resource of dlt"),
        (lambda: ms.dlt([{"id": 1}]), "`resource` is not a resource of dlt"),
        (lambda: ms.dlt(dlt.resource(iter({"id": n} for n in range(2)), name="x")), "`resource` can be read only once"),
        (lambda: ms.dlt(shop().orders, write="merge"), '`write="merge"` requires `key`'),
        (lambda: ms.dlt(shop().orders, wirte="merge"), "dlt has no parameter 'wirte'"),
    ],
)
def test_what_is_not_a_resource_is_refused(make: Callable[[], Any], what: str) -> None:
    with pytest.raises(DefinitionError) as problem:
        make()
    assert problem.value.what == what


def test_dlt_sends_and_writes_nothing_about_its_use(tmp_path: Path) -> None:
    program = """
import socket
def refuse(*_, **__): raise AssertionError("dlt opened a connection")
socket.socket.connect = refuse
import dlt, mainstem as ms
from mainstem.sources.kinds.dlt import _items
source = ms.dlt(dlt.resource([{"id": 1}], name="x"))
assert list(_items(source, {}, "")) == [{"id": 1}]
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration
assert resolve_configuration(RuntimeConfiguration()).dlthub_telemetry is False
"""
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
