"""Servers that a benchmark starts for itself."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def redis(directory: Path) -> Iterator[str | None]:
    """The URL of a Redis server of our own, started as the tests start theirs; None where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    spec = importlib.util.spec_from_file_location("shared", Path(__file__).parent.parent / "tests" / "conftest.py")
    assert spec is not None and spec.loader is not None
    shared = importlib.util.module_from_spec(spec)
    sys.modules["shared"] = shared
    spec.loader.exec_module(shared)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = shared.RedisServer(program, directory, port, {"appendonly": "yes", "appendfsync": "always"})
    server.start()
    try:
        yield server.url
    finally:
        server.kill()


@contextmanager
def postgresql(directory: Path) -> Iterator[str | None]:
    """The URL of a PostgreSQL server of our own; None where there is none. It does not run as root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if not programs:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    user = {}
    if os.getuid() == 0:
        entry = pwd.getpwnam("nobody")
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    settings = f"-c listen_addresses=127.0.0.1 -p {port} -c unix_socket_directories='' -c fsync=off -c max_wal_size=8GB"

    def call(program: str, *arguments: str) -> None:
        command = [str(programs[0].parent / program), "-D", str(directory / "data"), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)

    call("initdb", "-U", "mainstem", "-A", "trust", "--no-sync", "-E", "UTF8")
    call("pg_ctl", "-w", "-l", str(directory / "log"), "-o", settings, "start")
    try:
        yield f"postgresql://mainstem@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-w", "-m", "immediate", "stop")
