"""How a command ends while threads of libraries still work."""

import subprocess
import sys
from pathlib import Path

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
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "busy"\nmodules = ["busy"]\n')
    (tmp_path / "rows.csv").write_text("id,n\n1,2\n")
    (tmp_path / "busy.py").write_text(BUSY)
    arguments = {"query": ["query", "select 1 as one"]}.get(command, [command])
    ended = subprocess.run(
        [sys.executable, "-m", "mainstem", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout
