"""Programs that the demo starts, waits for and ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mainstem.errors import RunFailed

PATIENCE = 60.0
"""Seconds until a server must be ready."""


def python(*arguments: str) -> list[str]:
    """Return a command for this interpreter."""
    return [sys.executable, *arguments]


def mainstem(*arguments: str) -> list[str]:
    """Return a command of Mainstem."""
    return python("-m", "mainstem", *arguments)


def call(command: Sequence[str], directory: Path, environment: Mapping[str, str], *, captured: bool) -> str:
    """Run a command to its end. Return its captured output, else "". Raises `RunFailed` with the output."""
    pipe = subprocess.PIPE if captured else None
    ended = subprocess.run(
        command, cwd=directory, env={**os.environ, **environment}, stdout=pipe, stderr=pipe, text=True, check=False
    )
    if ended.returncode:
        raise RunFailed(
            f"the command ended with {ended.returncode}",
            where=" ".join(command[2:] if command[1] == "-m" else command[1:]),
            got=(ended.stderr or ended.stdout or "").strip() or None,
        )
    return ended.stdout or ""


class Background:
    """A server started by a command. It is ready when `url` + `path` answers."""

    def __init__(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str], url: str, path: str, log: Path
    ) -> None:
        self.url = url
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env={**os.environ, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo, which then ends this process
            )
        self._wait(path)

    def _wait(self, path: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if request("GET", self.url + path)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.stop()
        raise RunFailed(f"{self.url} did not start", where=path, got=self.log.read_text().strip()[-2_000:] or None)

    def stop(self) -> None:
        """End the process by SIGTERM, and by SIGKILL if that has no effect."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def request(method: str, url: str, body: Any = None) -> tuple[int, bytes]:
    """Send one HTTP request. Return status and body."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=30)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, place.path or "/", payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def post(url: str, body: Any) -> Any:
    """Return the JSON answer to a JSON request. Raises `RunFailed`."""
    status, answer = request("POST", url, body)
    if status >= 300:
        raise RunFailed(f"answered with {status}", where=f"POST {url}", got=answer.decode()[:1_000])
    return json.loads(answer)


def free_port(wanted: int) -> int:
    """Return `wanted` if no process listens there, else a free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RunFailed("no port is free on 127.0.0.1")
