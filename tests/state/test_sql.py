import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, inspect, text

from mainstem.errors import MissingExtra, SettingsError, StorageError
from mainstem.nodes.records import Release, RunRecord
from mainstem.state.migrations import upgrade
from mainstem.state.schema import REVISION, metadata, revision
from mainstem.state.sql import SqlState
from mainstem.testing.contracts.state import StateContract, release


def opener(url: str):
    opened: list[SqlState] = []

    def open_once_more() -> SqlState:
        opened.append(SqlState(url))
        return opened[-1]

    yield open_once_more
    for state in opened:
        state.close()


class TestSqlite(StateContract):
    @pytest.fixture
    def open_state(self, tmp_path: Path):
        yield from opener(f"sqlite:///{tmp_path}/made on demand/state 100%.db")


class TestPostgresql(StateContract):
    @pytest.fixture
    def open_state(self, postgresql: str):
        name = f"t{uuid4().hex}"
        engine = create_engine(f"{postgresql.replace('://', '+psycopg://')}/postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        yield from opener(f"{postgresql}/{name}")


def test_a_server_shreds_without_losing_records(postgresql: str):
    with closing(SqlState(f"{postgresql}/postgres")) as state:
        state.save(RunRecord("shredded", "main", "published"))
        state.shred()
        assert state.get(RunRecord, "shredded") is not None


def test_what_was_replaced_is_shredded(url: str, tmp_path: Path):
    with closing(SqlState(url)) as state:
        for n in range(200):
            state.save(RunRecord(f"r{n}", "ada@example.org", "published"))
        state.save(*(RunRecord(f"r{n}", "main", "published") for n in range(200)))
        assert any(b"ada@example.org" in path.read_bytes() for path in tmp_path.iterdir())
        state.shred()
        assert not any(b"ada@example.org" in path.read_bytes() for path in tmp_path.iterdir())
        assert len(state.find(RunRecord, branch="main")) == 200


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state.db"


def test_opening_touches_nothing(tmp_path: Path, url: str):
    SqlState(url)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_new", [True, False])
def test_a_new_database_and_the_migrations_have_what_the_code_expects(url: str, is_new: bool):
    if not is_new:
        engine = create_engine(url)
        upgrade(engine)
        engine.dispose()
    state = SqlState(url)
    state.move("main", "rel-1", expect=None)
    migrated, declared = create_engine(url), create_engine("sqlite://")
    metadata.create_all(declared)
    found, expected = inspect(migrated), inspect(declared)
    for name in expected.get_table_names():
        described = [
            [(c["name"], str(c["type"]), c["nullable"]) for c in side.get_columns(name)] for side in (found, expected)
        ]
        assert described[0] == described[1]
        assert found.get_unique_constraints(name) == expected.get_unique_constraints(name)
        assert found.get_pk_constraint(name) == expected.get_pk_constraint(name)
    assert set(found.get_table_names()) == {*expected.get_table_names(), "alembic_version"}
    assert revision(migrated) == REVISION
    migrated.dispose()
    state.close()


def test_the_declared_revision_is_the_newest():
    from alembic.script import ScriptDirectory

    from mainstem.state.migrations import _config

    assert ScriptDirectory.from_config(_config()).get_current_head() == REVISION


def test_a_state_of_a_newer_version_is_refused(url: str):
    state = SqlState(url)
    state.save(release("r1"))
    state.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StorageError, match="newer") as caught:
        state.get(Release, "r1")
    assert caught.value.got == "revision 9999"


def test_a_save_is_one_transaction(url: str):
    state = SqlState(url)

    class Broken:
        id = None

    with pytest.raises(Exception):  # noqa: B017 - whatever the codec says
        state.save(release("r1"), Broken())  # type: ignore[arg-type]
    assert state.find(Release) == []
    state.close()


def test_a_record_of_another_shape_says_so(url: str):
    state = SqlState(url)
    state.save(RunRecord("run-1", "main", "running"))
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("""UPDATE records SET body = '{"id": 1}'"""))
    engine.dispose()
    with pytest.raises(StorageError, match="RunRecord"):
        state.get(RunRecord, "run-1")
    state.close()


def test_the_first_use_in_a_process_needs_no_alembic(url: str):
    SqlState(url).move("main", "r1", expect=None)
    script = f"""
        import sys
        from mainstem.state.sql import SqlState
        print(SqlState({url!r}).head("main"), {{"alembic", "ibis", "pyarrow", "pyiceberg"}} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == "r1 set()\n", done.stderr


def test_two_processes_begin_one_state_and_one_moves_its_head(tmp_path: Path, url: str):
    script = """
        import sys
        from mainstem.errors import ConflictError
        from mainstem.state.sql import SqlState
        state, won, head = SqlState(sys.argv[1]), 0, None
        for n in range(50):
            try:
                state.move("main", f"{sys.argv[2]}{n}", expect=head)
                won, head = won + 1, f"{sys.argv[2]}{n}"
            except ConflictError:
                head = state.head("main")
        print(won)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, name], **pipes) for name in "ab"]
    won = 0
    for process in running:
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        won += int(stdout)
    assert 50 <= won <= 100
    state = SqlState(url)
    assert state.head("main") is not None
    state.close()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://x/y", "sqlite+nonsense:///x"])
def test_a_url_that_cannot_be_used(url: str):
    with pytest.raises((SettingsError, StorageError)):
        SqlState(url).head("main")


def test_a_server_that_is_not_there_and_no_password_in_the_error():
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError) as caught:
        SqlState("postgresql://me:hidden@127.0.0.1:1/db").head("main")
    assert "hidden" not in str(caught.value)
    assert caught.value.hint


def test_the_driver_of_postgresql_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match="psycopg") as caught:
        SqlState("postgresql://me@127.0.0.1:1/db").head("main")
    assert "mainstem[postgres]" in (caught.value.hint or "")


def test_a_file_that_is_no_database(tmp_path: Path, url: str):
    (tmp_path / "state.db").write_text("this is not SQLite, and long enough to be looked at" * 100)
    with pytest.raises(StorageError):
        SqlState(url).head("main")


def test_a_full_disk(url: str):
    SqlState(url).save(release("r0"))
    script = f"""
        import resource
        from mainstem.errors import StorageError
        from mainstem.nodes.records import RunRecord
        from mainstem.state.sql import SqlState
        state = SqlState({url!r})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            state.save(*(RunRecord(f"run-{{n}}", "x" * 10_000, "running") for n in range(100)))
        except StorageError as error:
            print(error.what)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        print(len(state.find(RunRecord)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == "the disk is full\n0\n", done.stderr


def test_to_read_a_state_that_does_not_exist_makes_no_file(tmp_path: Path):
    state = SqlState(f"sqlite:///{tmp_path / 'deep' / 'state.db'}")
    assert (state.head("main"), state.branches(), state.find(Release), state.get(Release, "r")) == (None, {}, [], None)
    assert list(tmp_path.iterdir()) == []
