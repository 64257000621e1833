"""Runs that are killed while they deliver: afterwards every row is at the target once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from sinking import Shop, messages

RUN = """
    import sys
    sys.path[:0] = {paths!r}
    from pathlib import Path
    from sinking import Shop
    import mainstem as ms
    import mainstem.sources.sinks.deliver
    shop = Shop(Path({root!r}), {to})
    with shop.opened() as project:
        project.run(report=lambda event: print(event.step.key, flush=True))
"""
KILLS = [2, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])]
ROWS = 400


def killed(root: Path, to: str, kills: int, there: Callable[[], dict[int, Any]]) -> None:
    """Change rows and kill the delivery, again and again; then deliver to the end."""
    tests = Path(__file__).parents[1]
    shop, chance = Shop(root, eval(to, {"ms": ms})), random.Random(kills)
    script = textwrap.dedent(RUN).format(paths=[str(tests), *sys.path], root=str(root), to=to)
    wanted = {n: {"id": n, "v": 0, "text": "x" * 500} for n in range(ROWS)}
    for kill in range(kills):
        for n in chance.sample(sorted(wanted), ROWS // 4):
            wanted[n] = {**wanted[n], "v": kill + 1}
        del wanted[chance.choice(sorted(wanted))]
        wanted[ROWS + kill] = {"id": ROWS + kill, "v": 0, "text": "new"}
        shop.write("1", list(wanted.values()))
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root)
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != b"deliver out\n":
            pass
        assert line, "it never delivered"
        time.sleep(chance.random() * 0.25)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    shop.run()
    assert there() == {n: row["v"] for n, row in wanted.items()}


@pytest.mark.parametrize("kills", KILLS)
def test_a_table_of_postgresql(tmp_path: Path, postgresql: str, kills: int) -> None:
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS killed, mainstem_deliveries")

        def there() -> dict[int, Any]:
            return dict(connection.execute("SELECT id, v FROM killed").fetchall())

        killed(tmp_path, f"ms.database({postgresql!r} + '/postgres', table='killed')", kills, there)


@pytest.mark.parametrize("kills", KILLS)
def test_files(tmp_path: Path, kills: int) -> None:
    def there() -> dict[int, Any]:
        found = pa.concat_tables(map(pq.read_table, (tmp_path / "out").glob("*.parquet"))).to_pylist()
        assert len({row["id"] for row in found}) == len(found)
        return {row["id"]: row["v"] for row in found}

    killed(tmp_path, "ms.files('out/*.parquet')", kills, there)


@pytest.mark.parametrize("kills", KILLS)
def test_a_topic(tmp_path: Path, broker: Any, kills: int) -> None:
    topic = broker.topic()

    def there() -> dict[int, Any]:
        found, last = messages(broker, topic), dict[int, Any]()
        for key, value, _ in found:
            before = last.get(key["id"])  # a tombstone may come for a key whose message was never committed
            assert value is None or value != before, "a change came twice"
            last[key["id"]] = value
        return {n: value["v"] for n, value in last.items() if value is not None}

    killed(tmp_path, f"ms.kafka({broker.servers!r}, {topic!r})", kills, there)
