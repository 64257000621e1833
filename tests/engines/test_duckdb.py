import gzip
import resource
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from mainstem.engines.duckdb import DuckdbEngine, _left_out
from mainstem.errors import EngineError, SourceError
from mainstem.ports import RawFiles
from mainstem.testing.contracts.engine import EngineContract


@pytest.fixture
def engine():
    return DuckdbEngine(threads=1)


class TestDuckdb(EngineContract):
    pass


def test_a_full_disk_leaves_nothing(tmp_path: Path):
    script = f"""
        import resource
        from pathlib import Path
        from mainstem.engines.duckdb import DuckdbEngine
        from mainstem.errors import StorageError
        from mainstem.ports import Field, Target
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        target = Target({str(tmp_path)!r}, (Field(1, "s", "string"),))
        with DuckdbEngine(threads=1).session({{}}) as session:
            try:
                session.write("SELECT uuid()::VARCHAR AS s FROM range(1_000_000)", target)
            except StorageError as error:
                assert error.hint, error
                assert not list(Path({str(tmp_path)!r}).iterdir())
                print("said so:", error.what)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == "said so: the disk is full\n", done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1_000_000


def test_a_cut_gzip_file_is_an_error(engine, tmp_path: Path):
    whole = gzip.compress(b"n\n" + b"".join(b"%d\n" % n for n in range(100_000)))
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    raw = RawFiles((str(tmp_path / "cut.csv.gz"),), "csv", {"n": "int64"})
    with engine.session({"raw": raw}) as session, pytest.raises(SourceError, match="truncated or damaged"):
        session.fetch("SELECT sum(n) FROM raw")


def test_options_reach_the_reader(engine, tmp_path: Path):
    (tmp_path / "a.csv").write_bytes("comment\nn;s\n1;é\nNA;x\n".encode("latin-1"))
    options = {"sep": ";", "skip": 1, "encoding": "latin-1", "nullstr": "NA"}
    raw = RawFiles((str(tmp_path / "a.csv"),), "csv", {"s": "string", "n": "int64"}, options)
    with engine.session({"raw": raw}) as session:
        assert session.fetch("SELECT * FROM raw").to_pylist() == [{"s": "é", "n": 1}, {"s": "x", "n": None}]
    evil = RawFiles((str(tmp_path / "a.csv"),), "csv", {"n": "int64"}, {"x=1) --": 1})
    with pytest.raises(EngineError), engine.session({"raw": evil}):
        pass


def test_a_csv_without_declared_columns_is_guessed(engine, tmp_path: Path):
    (tmp_path / "a.csv").write_text("n,at,s\n1,2013-01-01T10:00:00Z,x\n")
    with engine.session({"raw": RawFiles((str(tmp_path / "a.csv"),), "csv")}) as session:
        found = session.schema("SELECT * FROM raw")
    assert {name: str(dtype) for name, dtype in found.items()} == {
        "n": "int64",
        "at": "timestamp('UTC', 6)",
        "s": "string",
    }


def test_a_query_never_sees_variables_of_python(engine):
    secret = {"a": [1]}
    with engine.session({}) as session, pytest.raises(EngineError):
        session.fetch("SELECT * FROM secret")
    assert secret


def test_what_is_no_query_is_refused(engine):
    with engine.session({}) as session, pytest.raises(EngineError):
        session.fetch("CREATE TABLE t (n INT)")


def test_settings_that_duckdb_refuses(tmp_path: Path):
    with pytest.raises(EngineError), DuckdbEngine(memory_limit="lots").session({}):
        pass


def test_what_is_larger_than_memory_is_spilled_and_cleared_away(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with DuckdbEngine(memory_limit="60MB", threads=1).session({}) as session:
        rows = session.fetch("SELECT count(*) AS n FROM (SELECT DISTINCT uuid() AS u FROM range(3_000_000))")
        assert list((tmp_path / "temporary").iterdir())
    assert rows.to_pylist() == [{"n": 3_000_000}]
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


def test_what_is_larger_than_memory_is_spilled_into_a_lake_without_a_directory_for_it(tmp_path: Path):
    with DuckdbEngine(memory_limit="60MB", threads=1, temp_directory=tmp_path / "tmp").session({}) as session:
        rows = session.fetch("SELECT count(*) AS n FROM (SELECT DISTINCT uuid() AS u FROM range(3_000_000))")
    assert rows.to_pylist() == [{"n": 3_000_000}]
    assert list((tmp_path / "tmp").iterdir()) == []
    with DuckdbEngine(temp_directory=tmp_path / "none" / "tmp").session({}) as session:
        session.fetch("SELECT 1 AS n")
    assert not (tmp_path / "none").exists()  # looking at a project makes no lake


def test_an_interrupted_write_leaves_no_file(tmp_path: Path):
    script = f"""
        import os, signal, threading
        from mainstem.engines.duckdb import DuckdbEngine
        from mainstem.ports import Field, Target
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        target = Target({str(tmp_path)!r}, (Field(1, "s", "string"),))
        for _ in range(4):  # with asynchronous writes one in four never ended
            with DuckdbEngine(threads=2).session({{}}) as session:
                threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
                try:
                    session.write("SELECT uuid()::VARCHAR AS s FROM range(1_000_000_000)", target)
                except KeyboardInterrupt:
                    print("stopped")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout == 4 * "stopped\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_has_a_hint():
    engine = DuckdbEngine(memory_limit="5MB", threads=1)
    with engine.session({}) as session, pytest.raises(EngineError) as caught:
        session.fetch("SELECT list(uuid()::VARCHAR) AS l FROM range(2_000_000)")
    assert "memory" in (caught.value.hint or "")


# Ibis 12 calls names that DuckDB 2.0 has deprecated.
@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
def test_a_backend_to_explore(engine):
    import pyarrow as pa

    with engine.session({"t": pa.table({"n": [1, 2]})}) as session:
        assert session.backend().table("t").n.sum().to_pyarrow().as_py() == 3


def test_an_optimizer_that_plans_wide_joins_for_minutes_is_left_out(engine):
    with engine.session({}) as session:
        found = session.fetch("SELECT current_setting('disabled_optimizers') AS names").to_pylist()
    assert found == [{"names": "projection_placement"}]


def test_an_optimizer_that_this_duckdb_lacks_is_not_named(engine, monkeypatch):
    monkeypatch.setattr("mainstem.engines.duckdb._STEEP", frozenset({"of another version"}))
    _left_out.cache_clear()
    try:
        with engine.session({}) as session:
            assert session.fetch("SELECT 1 AS one").to_pylist() == [{"one": 1}]
    finally:
        _left_out.cache_clear()
