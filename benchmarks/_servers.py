"""Servers that a benchmark starts for itself."""

from __future__ import annotations

import importlib.util
import shutil
import socket
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
