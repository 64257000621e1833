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
from typing import Any, NoReturn


@contextmanager
def redis(directory: Path) -> Iterator[str | None]:
    """The URL of a Redis server of our own, started as the tests start theirs; None where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    shared = _shared("conftest")
    server = shared.RedisServer(program, directory, free_port(), {"appendonly": "yes", "appendfsync": "always"})
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


@contextmanager
def kafka(directory: Path) -> Iterator[Any]:
    """A Kafka broker of our own, started as the tests start theirs; None where Java or Maven is missing."""
    shared = _shared("kafka_broker")
    if shutil.which("java") is None or shutil.which("mvn") is None:
        yield None
        return
    ports = {name: free_port() for name in ("plain", "secure", "controller")}
    broker = shared.Broker(shared.jars(_failed), directory, ports)
    broker.prepare()
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _failed(reason: str) -> NoReturn:
    raise SystemExit(reason)


def _shared(name: str) -> Any:
    """A module of the tests, with what it imports from there."""
    tests = Path(__file__).parent.parent / "tests"
    sys.path.append(str(tests))
    spec = importlib.util.spec_from_file_location(f"shared_{name}", tests / f"{name}.py")
    assert spec is not None and spec.loader is not None
    shared = importlib.util.module_from_spec(spec)
    sys.modules[f"shared_{name}"] = shared
    spec.loader.exec_module(shared)
    return shared
