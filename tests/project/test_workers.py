"""A run with several workers publishes what a run with one does, and Ctrl-C ends it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import EngineError
from mainstem.nodes.records import RunRecord

PROJECT = """
import mainstem as ms
sales = ms.files("sales.csv", key="id", known="always")

def made(number):
    def table(sales):
        grouped = sales.group_by((sales.id % (number + 2)).name("g"))
        return grouped.aggregate(total=sales.price.sum(), n=sales.count())
    table.__name__ = f"t{number}"
    return ms.table(table, checks=[ms.not_null("g")])

globals().update({f"t{number}": made(number) for number in range(10)})
"""
SLOW = "SELECT count(*) AS n FROM sales a, sales b, sales c, sales d WHERE a.id * b.id + c.id * d.id = {number}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "w"\nmodules = ["worked"]\n[run]\nworkers = 4\n')
    (tmp_path / "sales.csv").write_text("id,price\n" + "".join(f"{n},{n % 17}\n" for n in range(1000)))
    (tmp_path / "worked.py").write_text(PROJECT)
    return tmp_path


def content(project: ms.Project) -> dict[str, list[tuple[object, ...]]]:
    names = [f"t{number}" for number in range(10)]
    return {n: sorted(tuple(row.values()) for row in project.table(n).to_pyarrow().to_pylist()) for n in names}


def test_several_workers_publish_the_same_as_one(root: Path) -> None:
    with ms.load(root, branch="many") as many, ms.load(root, branch="one") as one:
        assert many.settings.run.workers == 4
        first, second = many.run(), one.run(workers=1)
        assert [step.node for step in first.steps] == [step.node for step in second.steps]
        assert content(many) == content(one) and not many.plan() and not one.plan()
        assert not list((root / ".mainstem" / "lake" / "tmp").glob("*"))


def test_ctrl_c_ends_queries_that_run_side_by_side(root: Path) -> None:
    (root / "sql").mkdir()
    for number in range(3):
        (root / "sql" / f"slow{number}.sql").write_text(SLOW.format(number=number))
    program = f"""
        import sys
        from mainstem.cli.app import run
        sys.exit(run(["run", "-C", {str(root)!r}, "-s", "sales slow*", "--workers", "3"]))
    """
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.PIPE, text=True)
    with run, ms.load(root) as project:
        end = time.monotonic() + 60
        while not project.adapters.state.find(RunRecord) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(2.0)  # the queries have begun
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=20)
        assert run.returncode == 130 and "interrupted: nothing was published" in said
        (record,) = project.adapters.state.find(RunRecord)
        assert record.status == "interrupted" and not project.release.id
        assert [step.node for step in record.steps] == ["sales"]


def test_a_part_of_an_engine_has_a_part_of_the_memory(tmp_path: Path) -> None:
    def limit(engine: DuckdbEngine) -> str:
        with engine.session({}) as session:
            return str(session.fetch("SELECT current_setting('memory_limit') AS m")["m"][0].as_py())

    engine = DuckdbEngine("1GiB", temp_directory=tmp_path / "deep" / "tmp")
    assert limit(engine) == "1.0 GiB" and limit(engine.part(1)) == "1.0 GiB"
    assert limit(engine.part(4)) == "256.0 MiB" and engine.room() == 1 and DuckdbEngine("8GiB").room() == 8
    with pytest.raises(EngineError):
        DuckdbEngine("a lot").room()


def test_sessions_that_spill_do_not_share_files(tmp_path: Path) -> None:
    engine = DuckdbEngine("40MB", threads=1, temp_directory=tmp_path)
    query = "SELECT range AS i, hash(range) AS h FROM range(3000000) ORDER BY h"
    with engine.session({}) as one, engine.session({}) as other:
        first, second = one.batches(query), other.batches(query)
        assert next(first).num_rows and next(second).num_rows
        assert len([path for path in tmp_path.iterdir() if path.is_dir() and any(path.iterdir())]) == 2
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_a_run_whose_sources_do_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        sources = "".join(
            f'{name} = ms.api("http://127.0.0.1:{server.getsockname()[1]}/x", records="r")\n'
            for name, server in (("one", one), ("other", other))
        )
        (tmp_path / "mainstem.toml").write_text('[project]\nname = "h"\nmodules = ["hanging"]\n')
        (tmp_path / "hanging.py").write_text(f"import mainstem as ms\n{sources}")
        (tmp_path / "schemas.lock").write_text('[one]\nid = "int64"\n\n[other]\nid = "int64"\n')
        run = subprocess.Popen(
            [sys.executable, "-m", "mainstem", "run", "-C", str(tmp_path), "--workers", "2"],
            stderr=subprocess.PIPE,
            text=True,
        )
        with ExitStack() as asked:
            for server in (one, other):  # both are asked at once
                server.settimeout(60)
                asked.enter_context(server.accept()[0])
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=20)
    assert run.returncode == 130 and "interrupted: nothing was published" in said
