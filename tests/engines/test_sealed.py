"""A session reaches what it was shown and given, and no other file, whatever its SQL says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.sealed import connect, seal
from mainstem.errors import EngineError, MainstemError
from mainstem.ports import Field, RawFiles, Target

ROWS = pa.table({"x": [1, 2]})

ATTACKS = [
    "SELECT * FROM read_csv('{canary}')",
    "SELECT * FROM read_text('{canary}')",
    "SELECT * FROM read_text('{lake}/../canary.csv')",
    "SELECT * FROM read_text('{lake}/link.csv')",
    "SELECT * FROM '{canary}'",
    "SELECT * FROM glob('{root}/*')",
    "SELECT * FROM query('FROM read_csv(''{canary}'')')",
    "COPY t TO '{out}'",
    "COPY (SELECT 1) TO '{out}' (FORMAT parquet)",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{out}'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET memory_limit = '1GB'",
    "SELECT getenv('HOME')",
]


def attacked(attack: str, root: Path) -> str:
    lake = root / "la ke"
    lake.mkdir(exist_ok=True)
    (root / "canary.csv").write_text("secret\nhidden\n")
    if not (lake / "link.csv").is_symlink():
        (lake / "link.csv").symlink_to(root / "canary.csv")
    return attack.format(canary=root / "canary.csv", out=root / "out", root=root, lake=lake)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_session_reads_and_writes_no_other_file(attack: str, tmp_path: Path) -> None:
    sql = attacked(attack, tmp_path)
    with DuckdbEngine(directories=[tmp_path / "la ke"]).session({"t": ROWS}) as session:
        for use in (session.fetch, lambda query: session.batches(query).read_all(), session.schema):
            with pytest.raises(MainstemError) as caught:
                use(sql)
            assert "hidden" not in str(caught.value)
        with pytest.raises(MainstemError):  # what a guard could once do
            session.fetch(f"SELECT 1; {sql}")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "canary.csv").read_text() == "secret\nhidden\n"


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_sealed_connection_stays_sealed(attack: str, tmp_path: Path) -> None:
    import duckdb

    sql = attacked(attack, tmp_path).replace("COPY t", "COPY (SELECT 1)")
    with seal(connect()) as connection, pytest.raises(duckdb.Error):
        connection.execute(sql).fetchall()
    assert not (tmp_path / "out").exists()


def test_a_source_reads_the_files_it_declares_and_not_those_beside_them(tmp_path: Path) -> None:
    for name in ("declared [1]", "other"):
        (tmp_path / f"{name}.json").write_text('{"x": 1}')
    declared = RawFiles((str(tmp_path / "other.json"),), "json", {"x": "int64"}, {})
    with DuckdbEngine().session({"files": declared}) as session:
        assert session.fetch("SELECT * FROM files").to_pydict() == {"x": [1]}
        with pytest.raises(EngineError):
            session.fetch(f"SELECT * FROM read_json('{tmp_path / 'declared [1].json'}')")


def test_what_was_written_can_be_read_and_the_directories_stay_open(tmp_path: Path) -> None:
    engine = DuckdbEngine(directories=[tmp_path])
    fields = (Field(1, "x", "int64"),)
    with engine.session({"t": ROWS}) as session:
        assert session.fetch("SELECT count(*) AS n FROM t")["n"].to_pylist() == [2]
        for place in ("a", "b"):
            [file] = session.write("SELECT * FROM t", Target(str(tmp_path / place), fields))
            assert Path(file.path).exists()


def test_the_backend_of_a_session_is_sealed_too(tmp_path: Path) -> None:
    import duckdb

    sql = attacked("SELECT * FROM read_text('{canary}')", tmp_path)
    with DuckdbEngine().session({"t": ROWS}) as session:
        backend = session.backend()
        assert backend.raw_sql("SELECT count(*) FROM t").fetchone() == (2,)
        with pytest.raises(duckdb.Error):
            backend.raw_sql(sql)


ENDS = """
from mainstem.engines.duckdb import DuckdbEngine

engine = DuckdbEngine()
for _ in range(2):
    with engine.session({}) as session:
        session.fetch("SELECT 1")
"""


@pytest.mark.parametrize("time", range(4))
def test_a_process_ends_while_a_connection_is_opened_ahead(time: int) -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
