"""What tests of several rooms share: how a missing part is told, and real servers on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from kafka_broker import broker, broker_files, mortal  # noqa: F401 - fixtures
from mainstem import masking
from rest_catalog import mortal_rest, new_catalog, rest_jars, rest_server  # noqa: F401 - fixtures

Missing = Callable[[str], NoReturn]


# Timings decide no test, on a busy machine neither.
settings.register_profile("any load", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any load")

# A shell lets its background jobs ignore Ctrl-C, and so do the commands that the tests of a job start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Leave the modules of Mainstem as they are: pytest rewrites asserts in a package that has a plugin.

    Threads import some of them later, and two threads that parse at once fail in Python 3.11 with "AST constructor
    recursion depth mismatch" (CPython's issue 106905). The contracts keep their asserts readable.
    """
    hook: Any = config.pluginmanager.rewrite_hook
    hook._must_rewrite.discard("mainstem")
    hook._must_rewrite.add("mainstem.testing.contracts")
    hook._marked_for_rewrite_cache.clear()


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins without secret values to mask."""
    monkeypatch.setattr(masking, "_values", set[str]())
    monkeypatch.setattr(masking, "_forms", ())


@pytest.fixture(scope="session")
def missing() -> Missing:
    """Says that something which tests need is not installed: they are skipped, but where CI runs they fail."""

    def say(reason: str) -> NoReturn:
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

    return say


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    given = set[int]()

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port in given:  # a port that is free again, but of a server that is being started
            return find()
        given.add(port)
        return port

    return find


@dataclass
class RedisServer:
    """A redis-server of one's own on loopback, its files in `directory`, that can be killed and started again."""

    program: str
    directory: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        common = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory), "save": ""}
        given = [part for name, value in (common | self.settings).items() for part in (f"--{name}", *value.split(" "))]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, *given], stdout=log, stderr=log)
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """As a crash of the process does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: int) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(5)
            if probe.connect_ex(("127.0.0.1", self.port if "tls-port" not in self.settings else self.tls_port)):
                return False
            if "tls-port" in self.settings:
                return True
            probe.sendall(b"PING\r\n")
            # It may want a password; but not be loading its files.
            return probe.recv(64).startswith((b"+PONG", b"-NOAUTH"))

    @property
    def tls_port(self) -> int:
        return int(self.settings["tls-port"])


MakeRedis = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def redis_program(missing: Missing) -> str:
    """The program of the server; MAINSTEM_TEST_REDIS names another one."""
    if find_spec("redis") is None:
        missing("redis-py is not installed: pip install 'mainstem[redis]'")
    found = os.environ.get("MAINSTEM_TEST_REDIS") or shutil.which("redis-server")
    if found is None:
        missing("redis-server is not installed: apt-get install redis-server")
    return found


@pytest.fixture
def make_redis(redis_program: str, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[MakeRedis]:
    """Starts a server with the given settings: `make_redis(appendonly="yes")`."""
    made: list[RedisServer] = []

    def make(**settings: str) -> RedisServer:
        directory = tmp_path / f"redis-{len(made)}"
        directory.mkdir()
        named = {name.replace("_", "-"): value for name, value in settings.items()}
        made.append(RedisServer(redis_program, directory, free_port(), named))
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="session")
def redis_server(
    redis_program: str, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[RedisServer]:
    """A server that lives as long as the tests and keeps nothing; each test takes a project's name of its own."""
    server = RedisServer(redis_program, tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    yield server
    server.kill()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many feature values were compared with the oracle, in all workers."""
    from mainstem.testing.contracts.features import COMPARED

    passed = (report.user_properties for report in terminalreporter.stats.get("passed", []))
    total = sum(int(value) for properties in passed for name, value in properties if name == COMPARED)
    if total:
        terminalreporter.write_line(f"{total:,} values as the oracle has them")
