"""An S3 server on loopback: moto's, as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyarrow import fs

KEYS = {"access_key": "key-of-tests", "secret_key": "secret-of-tests", "region": "us-east-1"}


class Server:
    """A server of which a test can cut the connection: `stop` and `start` use the same port."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def storage(self) -> dict[str, str]:
        return {**KEYS, "endpoint": f"http://127.0.0.1:{self.port}"}

    @property
    def system(self) -> fs.S3FileSystem:
        return fs.S3FileSystem(**KEYS, endpoint_override=f"http://127.0.0.1:{self.port}", allow_bucket_creation=True)

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("the S3 server does not start") from None
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def s3_server() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.stop()
