"""Raw sockets to a server, for what an HTTP client would not send."""

from __future__ import annotations

import json
import socket
from typing import Any

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


def connect(client: Any, source: str = "127.0.0.1") -> socket.socket:
    """A connection to the server of an HTTP client, from an address of loopback."""
    return socket.create_connection((client.base_url.host, client.base_url.port), 10, (source, 0))


def read(at: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    try:
        while part := at.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def one(at: socket.socket) -> bytes:
    """One answer of a connection that stays open."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += at.recv(1)
    size = int(found.lower().partition(b"content-length: ")[2].split()[0])
    while len(found.partition(b"\r\n\r\n")[2]) < size:
        found += at.recv(1)
    return found


def answered(raw: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of one answer."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, json.loads(body)


def exchange(client: Any, *parts: bytes) -> tuple[int, dict[str, str], Any]:
    """Send parts on a connection of its own; the answer after which the server closes."""
    with connect(client) as at:
        for part in parts:
            at.sendall(part)
        return answered(read(at))
