"""How a command ends while threads of libraries, or functions of the project, still work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import pytest

BUSY = """
import threading, duckdb, mainstem as ms

rows = ms.files("rows.csv", key="id", schema={"id": "int64", "n": "int64"})


def ask():
    connection = duckdb.connect()
    connection.create_function("slow", lambda n: n + 1, ["BIGINT"], "BIGINT")
    while True:
        connection.execute("SELECT sum(slow(range)) FROM range(2000)").fetchall()


for _ in range(3):
    threading.Thread(target=ask, daemon=True).start()
"""
"""Threads that enter and leave Python through C++, for ever. Python ends such a thread while it ends itself, and C++
takes that for an unknown exception: the process aborts."""


@pytest.mark.parametrize("command", ["plan", "run", "query"])
def test_a_library_that_still_works_does_not_abort_the_process(tmp_path: Path, command: str) -> None:
    _project(tmp_path, BUSY)
    arguments = {"query": ["query", "select 1 as one"]}.get(command, [command])
    ended = subprocess.run(
        [sys.executable, "-m", "mainstem", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout


ENDLESS = {
    "expression": """
@ms.table
def endless(rows):
    while True:
        time.sleep(0.05)
""",
    "batches": """
@ms.table(using="arrow", schema={"id": "int64"})
def endless(rows):
    while True:
        time.sleep(0.05)
        yield from ()
""",
    "frame": """
@ms.table(using="pandas", schema={"id": "int64"})
def endless(rows):
    while True:
        pass
""",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_ctrl_c_ends_a_table_function_that_never_ends(tmp_path: Path, kind: str) -> None:
    head = 'import time, mainstem as ms\nrows = ms.files("rows.csv", key="id", schema={"id": "int64", "n": "int64"})\n'
    begun = 'open("begun", "w").close()\n    while True:'
    _project(tmp_path, head + ENDLESS[kind].replace("while True:", begun, 1))
    command = [sys.executable, "-m", "mainstem", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True)
    while not (tmp_path / "begun").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()  # one that goes on would slow the other tests
    assert process.returncode == 130
    assert said == "interrupted: nothing was published; the next run starts from the published release\n"


@pytest.mark.parametrize("at", ["load", "build", "import"])
def test_code_of_the_project_that_exits_is_an_error_with_its_line(tmp_path: Path, at: str) -> None:
    frame = '(using="pandas", schema={"id": "int64"})' if at == "build" else ""
    body = "sys.exit(3)" if at == "import" else f"@ms.table{frame}\ndef left(rows):\n    sys.exit(3)"
    head = 'import sys, mainstem as ms\nrows = ms.files("rows.csv", key="id", schema={"id": "int64", "n": "int64"})\n'
    _project(tmp_path, head + body)
    ended = subprocess.run(
        [sys.executable, "-m", "mainstem", "run"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 1
    assert "sys.exit(3)" in ended.stderr and "SystemExit: 3" in ended.stderr


def _project(root: Path, module: str) -> None:
    (root / "mainstem.toml").write_text('[project]\nname = "busy"\nmodules = ["busy"]\n')
    (root / "rows.csv").write_text("id,n\n1,2\n")
    (root / "busy.py").write_text(module)
