"""A real PostgreSQL on loopback, where its programs are installed; a room's conftest takes the fixture from here.

Everybody is let in but `guarded`, whose password is `s3cret/@`.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest


def _programs() -> Path | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = [folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()]
    if found:
        return found[0]
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory, missing, free_port):
    """The URL of a server that lives as long as the tests; PostgreSQL refuses to run as root, so as another user."""
    if find_spec("psycopg") is None:
        missing("psycopg, the driver of PostgreSQL, is not installed: pip install 'mainstem[postgres]'")
    programs = _programs()
    if programs is None:
        missing("initdb and pg_ctl are not installed: apt-get install postgresql")
    user = {}
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
    data, port = place / "data", free_port()

    def call(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(data), *arguments]
        log = logs / "postgresql.log"
        with log.open("a") as out:
            done = subprocess.run(command, stdout=out, stderr=out, cwd="/", check=False, **user)
        assert done.returncode == 0, log.read_text()

    try:
        call("initdb", "-U", "mainstem", "-A", "trust", "--no-sync", "-E", "UTF8")
        rules = data / "pg_hba.conf"
        rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        options = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories='' -c fsync=off"
        call("pg_ctl", "-w", "-l", str(place / "server.log"), "-o", options, "start")
        try:
            yield f"postgresql://mainstem@127.0.0.1:{port}"
        finally:
            call("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)
