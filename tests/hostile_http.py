"""Web servers that answer sources as they should not: too much, too slowly, or brokenly."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ROWS = [{"n": 1}, {"n": 2}]


@dataclass
class Hostile:
    """A server that writes to the socket as it likes. `answers` maps paths to functions of the request's handler."""

    url: str
    answers: dict = field(default_factory=dict)
    seen: list = field(default_factory=list)

    def raw(self, path, *parts, pause=0.0):
        def write(handler):
            for part in parts:
                handler.wfile.write(part)
                time.sleep(pause)

        self.answers[path] = write

    def redirect(self, path, to, status=302):
        head = f"HTTP/1.1 {status} Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        self.raw(path, head.encode("utf-8"))

    def json(self, path, value, *headers):
        body = json.dumps(value).encode()
        more = "".join(f"{header}\r\n" for header in headers).encode()
        self.raw(path, OK + more + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def sent(self, name):
        """The values of a header, of all requests but those for robots.txt."""
        return [headers.get(name) for path, headers in self.seen if path != "/robots.txt"]

    @property
    def said(self):
        """All that it was sent."""
        return "\n".join(f"{path}\n{headers}" for path, headers in self.seen)


@contextlib.contextmanager
def serving(context=None):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            here.seen.append((self.path, self.headers))
            answer = here.answers.get(self.path.partition("?")[0])
            with contextlib.suppress(OSError):
                if answer is None:
                    self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                else:
                    answer(self)
            self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    here = Hostile(f"http{'s' if context else ''}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield here
    server.shutdown()
    server.server_close()
    thread.join()


def zeros(size, chunk=65_536):
    """A handler that sends a body until the client goes away."""

    def write(handler):
        for _ in range(0, size, chunk):
            handler.wfile.write(b" " * chunk)

    return write


def after(head, write):
    return lambda handler: (handler.wfile.write(head), write(handler))


BOMB = gzip.compress(b" " * 50_000_000)
TOO_LARGE = {
    "an endless body": after(OK + b"\r\n", zeros(10**12)),
    "endless chunks": lambda h: (
        h.wfile.write(OK + b"Transfer-Encoding: chunked\r\n\r\n"),
        [h.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n") for _ in range(10**6)],
    ),
    "a gzip bomb": lambda h: h.wfile.write(
        OK + f"Content-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n".encode() + BOMB
    ),
    "a bomb of many members": lambda h: (
        h.wfile.write(OK + b"Content-Encoding: gzip\r\n\r\n"),
        [h.wfile.write(gzip.compress(b" " * 100_000)) for _ in range(10**4)],
    ),
    "a deflate bomb": lambda h: h.wfile.write(
        OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b" " * 50_000_000)
    ),
    "a Content-Length that announces it": after(OK + b"Content-Length: 999999999999\r\n\r\n", zeros(10**6)),
}


SLOW = {
    "a slow status line": (b"HTTP/1.1 200 OK                    ",),
    "slow headers": (b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 90),
    "endless informational answers": (b"HTTP/1.1 100 Continue\r\n\r\n",) * 1_000,
    "a slow body": (OK + b"\r\n", *[b" "] * 1_000),
    "slow chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 1_000),
    "a slow chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"0"] * 1_000),
    "slow trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *[b"X: y\r\n"] * 1_000),
    "a slow gzip": (OK + b"Content-Encoding: gzip\r\n\r\n", *[bytes([b]) for b in BOMB[:1_000]]),
}


GZIP = gzip.compress(json.dumps(ROWS).encode())
BAD = {
    "fewer bytes than its Content-Length": (b"Content-Length: 500\r\n\r\n[]", "the answer is incomplete"),
    "more bytes than its Content-Length": (b"Content-Length: 5\r\n\r\n" + json.dumps(ROWS).encode(), "not valid JSON"),
    "a negative Content-Length": (b"Content-Length: -1\r\n\r\n[]", "invalid Content-Length"),
    "a Content-Length that is a word": (b"Content-Length: many\r\n\r\n[]", "invalid Content-Length"),
    "two Content-Lengths": (b"Content-Length: 2\r\nContent-Length: 500\r\n\r\n[]", "invalid Content-Length"),
    "chunks that end early": (b"Transfer-Encoding: chunked\r\n\r\n5\r\n[]", "cannot be reached"),
    "a chunk size that is a word": (b"Transfer-Encoding: chunked\r\n\r\nmany\r\n[]", "cannot be reached"),
    "gzip that ends early": (b"Content-Encoding: gzip\r\n\r\n" + GZIP[:-9], "the answer is incomplete"),
    "a body that is not gzip": (b"Content-Encoding: gzip\r\n\r\n[]", "cannot be decompressed"),
    "damaged gzip": (b"Content-Encoding: gzip\r\n\r\n" + GZIP[:15] + b"!!" + GZIP[17:], "cannot be decompressed"),
    "an unknown encoding": (b"Content-Encoding: br\r\n\r\n[]", "unsupported Content-Encoding"),
    "two encodings": (b"Content-Encoding: gzip, gzip\r\n\r\n[]", "unsupported Content-Encoding"),
    "bytes that are not UTF-8": (b'\r\n[{"n": "\xff"}]', "not text in its charset"),
    "a charset that does not fit": (
        b'Content-Type: x; charset=ascii\r\n\r\n[{"n": "\xff"}]',
        "not text in its charset",
    ),
    "a charset that does not exist": (b'Content-Type: x; charset=klingon\r\n\r\n["\xff"]', "not text in its charset"),
    "deep nesting": (b"\r\n" + b"[" * 200_000, "not valid JSON"),
    "a number of many digits": (b'\r\n[{"n": ' + b"9" * 5_000 + b"}]", "not valid JSON"),
    "nothing": (b"Content-Length: 0\r\n\r\n", "not valid JSON"),
    "HTML": (b"\r\n<html>", "not valid JSON"),
    "null": (b"\r\nnull", "a record is not a JSON object"),
    "half a surrogate pair": (b'\r\n[{"n": "\\ud800"}]', "'n' has a value"),
    "too many headers": (b"X: y\r\n" * 200 + b"\r\n[]", "cannot be reached"),
    "a long header": (b"X: " + b"y" * 100_000 + b"\r\n\r\n[]", "cannot be reached"),
}
