"""Workers, drivers and stores that fail while Spark writes to a store: no half files, and the next run is right."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mainstem as ms
from postgresql import postgresql as postgresql_of_tests
from s3 import Busy, Server, s3_server
from stored_project import SECRET, Machine, databases, machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

postgresql = postgresql_of_tests

ROWS = 1_500
"""Of sales. The table `pairs` has the square of it."""

MODULE = """
import mainstem as ms
from ibis import _

sales = ms.files("sales/*.csv", key="sale_id", time="sold_at", known="always")

@ms.table
def pairs(sales):
    "A table whose write takes some seconds."
    pairs = sales.select("sale_id", "shop").cross_join(sales.select(other="sale_id"))
    return pairs.mutate(mixed=(_.sale_id * 7919 + _.other * 104729) % 1_000_003)
"""
MIXED = sum((n * 7919 + m * 104729) % 1_000_003 for n in range(ROWS) for m in range(ROWS))


@pytest.fixture(scope="module")
def server():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


def stored(server: Server, prefix: str, folders: bool = False) -> list[str]:
    from pyarrow import fs

    selector = fs.FileSelector(f"lakes/{prefix}", recursive=True, allow_not_found=True)
    return [info.path for info in server.system.get_file_info(selector) if folders or info.is_file]


def until_it_writes(server: Server, prefix: str, process) -> None:
    """Wait until Spark writes the table `pairs`."""
    end = time.monotonic() + 240
    while not [path for path in stored(server, prefix, folders=True) if "/pairs__" in path and "_writing-" in path]:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.2)


def below(pid: int) -> dict[int, str]:
    """Return the processes that a process has begun, and those that these have, with their commands."""
    parents, commands = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    found, more = set[int](), {pid}
    while more:
        more = {each for each, parent in parents.items() if parent in more} - found
        found |= more
    return {each: commands[each] for each in found}


def is_right(one: Machine, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    with ms.load(one.root) as project:
        pairs = project.table("pairs").to_pyarrow()
    import pyarrow.compute as pc

    return (pairs.num_rows, pc.sum(pairs["mixed"]).as_py()) == (ROWS**2, MIXED)


def published(one: Machine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    with ms.load(one.root) as project:
        return sorted(project.release.tables) if project.release else []


def test_an_executor_that_is_killed_while_it_writes(server, postgresql, tmp_path: Path, monkeypatch):
    spark = {"master": "local-cluster[2,1,1024]", "spark.executor.memory": "1g"}
    one = machine(tmp_path / "one", server.storage, databases(postgresql), "executor", "spark", spark, MODULE)
    one.add("all", range(ROWS))
    process = one.begin()
    until_it_writes(server, "executor", process)
    executors = [pid for pid, command in below(process.pid).items() if "CoarseGrainedExecutorBackend" in command]
    assert len(executors) == 2
    os.kill(executors[0], signal.SIGKILL)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert is_right(one, monkeypatch)
    assert not [path for path in stored(server, "executor") if "_writing-" in path]


def test_a_driver_that_is_killed_while_it_writes(server, postgresql, tmp_path: Path, monkeypatch):
    one = machine(tmp_path / "one", server.storage, databases(postgresql), "driver", "spark", module=MODULE)
    one.add("all", range(ROWS))
    process = one.begin()
    until_it_writes(server, "driver", process)
    for pid in (process.pid, *below(process.pid)):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert published(one, monkeypatch) == []
    assert not [path for path in stored(server, "driver") if "/pairs__" in path and path.endswith(".parquet")]
    one.run()
    assert is_right(one, monkeypatch)
    with ms.load(one.root) as project:
        now = time.time
        monkeypatch.setattr("mainstem.lake.iceberg.time.time", lambda: now() + 2 * 86_400)
        project.gc()
    left = stored(server, "driver")
    assert not [path for path in left if "_writing-" in path or "handed-" in path or "__magic" in path]
    assert is_right(one, monkeypatch)


@pytest.fixture
def busy(server):
    found = Busy(server, ("PUT", "POST", "GET", "HEAD"))
    yield found
    found.close()


def refused_while_it_writes(
    one: Machine, server: Server, busy: Busy, prefix: str, requests: int, then: Callable[[], None] = lambda: None
) -> tuple[int, str]:
    process = one.begin()
    until_it_writes(server, prefix, process)
    busy.refused = requests
    said, _ = process.communicate(timeout=400)
    busy.refused = 0
    assert SECRET not in said
    return process.returncode, said


def test_a_store_that_is_busy_for_a_while(server, busy, postgresql, tmp_path: Path, monkeypatch):
    one = machine(tmp_path / "one", busy.storage, databases(postgresql), "busy", "spark", module=MODULE)
    one.add("all", range(ROWS))
    code, said = refused_while_it_writes(one, server, busy, "busy", 6)
    assert code == 0, said
    assert is_right(one, monkeypatch)


def test_a_store_that_stays_busy(server, busy, postgresql, tmp_path: Path, monkeypatch):
    one = machine(tmp_path / "one", busy.storage, databases(postgresql), "away", "spark", module=MODULE)
    one.add("all", range(ROWS))
    code, said = refused_while_it_writes(one, server, busy, "away", 1_000_000)
    assert code == 1 and "the object store is busy" in said, said
    assert published(one, monkeypatch) == []
    one.run()
    assert is_right(one, monkeypatch)
