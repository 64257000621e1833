"""An S3 server on loopback: moto's, as a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

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


class Busy:
    """A server before another, which answers 503 SlowDown to the next `refused` requests of some methods."""

    def __init__(self, server: Server, methods: tuple[str, ...] = ("PUT", "POST")) -> None:
        self.refused, self.asked, self.agents = 0, 0, set[str]()
        busy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self._body()
                busy.asked += 1
                busy.agents.add(self.headers.get("User-Agent", ""))
                if self.command in methods and busy.refused > 0:
                    busy.refused -= 1
                    return self._send(503, {"Content-Type": "application/xml"}, SLOW)
                onward = HTTPConnection("127.0.0.1", server.port, timeout=60)
                own = {"expect", "transfer-encoding", "content-length", "connection"}
                onward.request(
                    self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() not in own}
                )
                answer = onward.getresponse()
                content = answer.read()
                onward.close()
                left_out = ("transfer-encoding", "connection", "content-length", "date", "server")
                headers = {name: value for name, value in answer.getheaders() if name.lower() not in left_out}
                length = answer.getheader("Content-Length") if self.command == "HEAD" else None
                return self._send(answer.status, headers, content, length)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return found

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

            def _send(self, status: int, headers: dict[str, str], body: bytes, length: str | None = None) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", length or str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Do not log requests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, daemon=True).start()
        self.storage = {**KEYS, "endpoint": f"http://127.0.0.1:{self._server.server_port}"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


SLOW = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
