"""One run at a time on a branch, and none that undoes a rollback without a word."""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import ConflictError, RequestError
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

SLOW = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import test_one_run
    root = Path(sys.argv[1])
    def wait(event):
        (root / "begun").touch()
        while not (root / "go").exists():
            time.sleep(0.01)
    test_one_run.opened(root).run(report=wait)
"""


def opened(root: Path, branch: str = "main") -> ms.Project:
    @ms.table
    def dear(sales: Any) -> Any:
        return sales.filter(sales.price > 2)

    settings = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
    sales = ms.files("sales/*.parquet", key="id", known="always")
    prices = ms.feature_view(sales, key="id", columns=["price"])
    return ms.Project(settings, {"sales": sales, "dear": dear, "prices": prices}, branch=branch)


def write(root: Path, first: int, rows: int) -> None:
    (root / "sales").mkdir(exist_ok=True)
    ids = range(first, first + rows)
    pq.write_table(pa.table({"id": list(ids), "price": [n % 5 for n in ids]}), root / "sales" / f"{first}.parquet")


def begun(root: Path) -> subprocess.Popen[bytes]:
    """A process whose run waits after its first step has begun, until the file `go` is there."""
    script = textwrap.dedent(SLOW.format(tests=str(Path(__file__).parent)))
    process = subprocess.Popen([sys.executable, "-c", script, str(root)])
    end = time.monotonic() + 60
    while not (root / "begun").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert (root / "begun").exists()
    return process


def test_a_second_run_is_refused_at_once_and_says_who_runs(tmp_path: Path) -> None:
    write(tmp_path, 0, 10)
    process = begun(tmp_path)
    try:
        with opened(tmp_path) as project, pytest.raises(ConflictError, match="another run is in progress") as refused:
            project.run()
        assert str(process.pid) in str(refused.value.got)
        with opened(tmp_path) as project:
            assert project.plan()  # to look is allowed
    finally:
        (tmp_path / "go").touch()
        assert process.wait(60) == 0
    with opened(tmp_path) as project:
        assert project.run().status == "unchanged"


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    write(tmp_path, 0, 10)
    process = begun(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with opened(tmp_path) as project:
        assert project.run().status == "published"


def test_a_rollback_stays_until_it_is_said_to_go_forward(tmp_path: Path) -> None:
    write(tmp_path, 0, 10)
    with opened(tmp_path) as project:
        project.run()
        write(tmp_path, 10, 10)
        bad = project.run().release
        project.rollback()
        with pytest.raises(ConflictError, match="was rolled back, and this run may publish again") as refused:
            project.run()
        assert bad is not None and bad in str(refused.value.where)
        assert "collect sales (the source has changed)" in str(refused.value.got)
        assert len(project.table("sales").to_pyarrow()) == 10
        project.materialise(rebuild=True)
        with pytest.raises(ConflictError, match="was rolled back"):
            project.run()
    with opened(tmp_path, branch="dev") as dev:
        dev.run()  # a branch of its own may try
        assert len(dev.table("sales").to_pyarrow()) == 20
        with pytest.raises(RequestError, match="`sample_by` requires `sample`"):
            dev.run(sample_by="sales")
    with opened(tmp_path) as project:
        assert project.run(forward=True).status == "published"
        write(tmp_path, 20, 10)
        assert project.run().status == "published"
        assert len(project.table("sales").to_pyarrow()) == 30


def test_after_a_rollback_to_what_is_declared_there_is_nothing_to_refuse(tmp_path: Path) -> None:
    write(tmp_path, 0, 10)
    with opened(tmp_path) as project:
        first = project.run().release
        write(tmp_path, 10, 10)
        project.run()
        (tmp_path / "sales" / "10.parquet").unlink()
        project.rollback(first)
        assert not project.plan()
        assert project.run().status == "unchanged"
