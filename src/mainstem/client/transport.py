"""Requests over kept connections: they are sent again when that can help, and errors are those of `mainstem.errors`."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit
from weakref import WeakSet

from mainstem import errors
from mainstem.errors import Forbidden, MainstemError, NotFound, RequestError, StorageError, Unavailable

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds before a request is sent again: twice as many each time, with chance."""

_BY_STATUS: Mapping[int, type[MainstemError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    503: Unavailable,
    507: StorageError,
}


class _Held:
    """The connection of a thread. It is closed when the thread has ended."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class Transport:
    """Sends requests. Raises `RequestError` for a URL that is not one of HTTP. See `Client` for the parameters."""

    def __init__(self, url: str, *, key: str | None, timeout: float, retries: int) -> None:
        place, self._port = _place(url)
        self._secure, self._host = place.scheme == "https", str(place.hostname)
        self._base, self._url = place.path.rstrip("/"), f"{place.scheme}://{place.netloc.rpartition('@')[2]}"
        if retries < 0:
            raise RequestError("`retries` must not be negative", got=str(retries), expected="0 or more")
        if key is not None and not _fits_header(key):  # http.client would show it
            raise RequestError(
                "the API key has characters that a header cannot have",
                got=f"{len(key)} characters, which are not shown",
                expected="letters, digits and _, as in ms_…",
                hint="a key that is read from a file may end with a line break: .strip()",
            )
        self._timeout, self._retries = timeout, retries
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._own = threading.local()
        self._every: WeakSet[_Held] = WeakSet()

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the answer to a POST. Raises the errors that `Client` names."""
        for name, value in (headers or {}).items():
            if not _fits_header(value):
                expected = "printable characters of Latin-1"
                raise RequestError(f"the header {name} cannot have this value", got=repr(value), expected=expected)
        return self._sent("POST", path, _encoded(body), headers or {}, (200, 202))

    def get(self, path: str, accepted: Collection[int] = (200,)) -> dict[str, Any]:
        """Return the answer to a GET."""
        return self._sent("GET", path, None, {}, accepted)

    def close(self) -> None:
        """Close the connections of all threads. One that is used again opens again."""
        for held in list(self._every):
            held.connection.close()

    def _sent(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], accepted: Collection[int]
    ) -> dict[str, Any]:
        wait = FIRST_WAIT
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                status, told, after = self._once(method, path, body, headers)
            except (OSError, http.client.HTTPException) as problem:
                self._connection().close()
                if last:
                    what, got = f"the server at {self._url} does not answer", str(problem) or type(problem).__name__
                    raise Unavailable(what, where=path, got=got, hint="mainstem serve") from problem
                after = 0.0
            else:
                if status in accepted:
                    return _decoded(told, self._url)
                if status != 503 or last:
                    raise _error(status, told, path)
            time.sleep(min(LONGEST_WAIT, max(after, wait * random.uniform(0.5, 1.5))))
            wait *= 2
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes, float]:
        """Return the status, the body, and the seconds that the server asks to wait."""
        connection = self._connection()
        connection.request(method, self._base + quote(path), body, {**self._headers, **headers})
        answer = connection.getresponse()
        told, after = answer.read(), answer.headers.get("Retry-After") or "0"
        return answer.status, told, float(after) if after.isdecimal() else 0.0

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._own, "held", None) is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._own.held = _Held(kind(self._host, self._port, timeout=self._timeout))
            self._every.add(self._own.held)
        held: _Held = self._own.held
        return held.connection


def _place(url: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL and its port. Raises `RequestError`."""
    expected = "http://HOST:PORT or https://HOST"
    try:
        place = urlsplit(url)
        port = place.port
    except ValueError as problem:
        raise RequestError("the server's URL is invalid", got=str(problem), expected=expected) from None
    if place.scheme not in ("http", "https") or not place.hostname:
        raise RequestError("the server's URL is invalid", got=repr(url), expected=expected)
    return place, port


def _fits_header(text: str) -> bool:
    return text.isprintable() and all(ord(each) < 256 for each in text)


def _encoded(body: Any) -> bytes:
    try:
        return json.dumps(body, default=_plain, allow_nan=False).encode()
    except (TypeError, ValueError) as problem:
        raise RequestError(
            "a value cannot be sent as JSON",
            got=str(problem),
            expected="texts, finite numbers, booleans, instants and dates",
            hint="None is a missing value",
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if callable(getattr(value, "item", None)):  # a number of NumPy
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _decoded(told: bytes, url: str) -> dict[str, Any]:
    try:
        found = json.loads(told)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable(f"{url} is not a server of Mainstem", got=repr(told[:80]), expected="a JSON object")
    return found


def _error(status: int, told: bytes, path: str) -> MainstemError:
    """Return the error of an answer: of its own kind, or of its status."""
    try:
        parts = json.loads(told)
        named = getattr(errors, str(parts["error"]), None)
        texts = {name: str(parts[name]) for name in ("what", "where", "got", "expected", "hint") if name in parts}
        what = texts.pop("what")
    except (ValueError, KeyError, TypeError):
        named, what, texts = None, f"the server answered with {status}", {"where": path, "got": repr(told[:200])}
    if isinstance(named, type) and issubclass(named, MainstemError):
        return named(what, **texts)
    kind = _BY_STATUS.get(status, RequestError if 400 <= status < 500 else MainstemError)
    return kind(what, **texts)
