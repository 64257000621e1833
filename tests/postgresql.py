"""A real PostgreSQL on loopback, where its programs are installed; a room's conftest takes the fixture from here.

Everybody is let in but `guarded`, whose password is `s3cret/@`.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def _programs() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    if found:
        return found[0]
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


class Server:
    """A server with its data below `place`. PostgreSQL refuses to run as root, so it runs as `user`."""

    def __init__(self, programs: Path, place: Path, logs: Path, port: int, user: dict[str, Any]) -> None:
        self.url = f"postgresql://mainstem@127.0.0.1:{port}"
        self._programs, self._place, self._log, self._port, self._user = programs, place, logs, port, user

    def create(self) -> None:
        self._call("initdb", "-U", "mainstem", "-A", "trust", "--no-sync", "-E", "UTF8")
        rules = self._place / "data" / "pg_hba.conf"
        rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self._port} -c unix_socket_directories='' -c fsync=off"
        self._call("pg_ctl", "-w", "-l", str(self._place / "server.log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._call("pg_ctl", "-w", "-m", mode, "stop")

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._place / "data"), *arguments]
        with self._log.open("a") as out:
            done = subprocess.run(command, stdout=out, stderr=out, cwd="/", check=False, **self._user)
        assert done.returncode == 0, self._log.read_text()


@contextmanager
def _running(tmp_path_factory: pytest.TempPathFactory, missing, free_port) -> Iterator[Server]:
    if find_spec("psycopg") is None:
        missing("psycopg, the driver of PostgreSQL, is not installed: pip install 'mainstem[postgres]'")
    programs = _programs()
    if programs is None:
        missing("initdb and pg_ctl are not installed: apt-get install postgresql")
    user: dict[str, Any] = {}
    logs = place = tmp_path_factory.mktemp("postgresql")
    if os.getuid() == 0:
        names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")]
        if not names:
            missing("there is no unprivileged user to run PostgreSQL as")
        entry = pwd.getpwnam(sorted(names, reverse=True)[0])
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        # pytest's directories are closed to other users.
        place = Path(tempfile.mkdtemp(prefix="mainstem-postgresql-", dir="/tmp"))
        os.chown(place, entry.pw_uid, entry.pw_gid)
    server = Server(programs, place, logs / "postgresql.log", free_port(), user)
    try:
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory, missing, free_port):
    """The URL of a server that lives as long as the tests."""
    with _running(tmp_path_factory, missing, free_port) as server:
        yield server.url


@pytest.fixture
def restartable(tmp_path_factory: pytest.TempPathFactory, missing, free_port):
    """A server of one test, which may stop and start it."""
    with _running(tmp_path_factory, missing, free_port) as server:
        yield server
