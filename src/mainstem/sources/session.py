"""The client of sources as a session of the library requests, which dlt's paginators work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import BaseAdapter

from mainstem.errors import SourceError
from mainstem.sources.http import Client, parsed


class EndOfPages(Exception):
    """The server says that there is no such page, behind the last one."""


class ClientSession(requests.Session):
    """A session whose requests are made by `client`.

    Of a prepared request only URL, method and body are used: the client knows the credentials, and to whom they go. A
    request that was made before raises the error of `repeated`. A status of which `ended` is true raises `EndOfPages`.
    """

    def __init__(
        self, client: Client, repeated: Callable[[], SourceError], ended: Callable[[int], bool] = lambda _: False
    ) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(client, repeated, ended))


class _Adapter(BaseAdapter):
    def __init__(self, client: Client, repeated: Callable[[], SourceError], ended: Callable[[int], bool]) -> None:
        super().__init__()
        self._client, self._repeated, self._ended = client, repeated, ended
        self._visited = set[tuple[str, bytes]]()

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        url, method = str(request.url), str(request.method)
        body: Any = request.body.encode() if isinstance(request.body, str) else request.body
        if (url, body or b"") in self._visited:
            raise self._repeated()
        self._visited.add((url, body or b""))
        answer = self._client.patiently(url, method, body, "application/json")
        if self._ended(answer.status):
            raise EndOfPages
        self._client.good(answer)
        response = _Response(parsed(answer, self._client.shown))
        response.status_code, response.url, response.request = answer.status, url, request
        response.headers.update(answer.headers.items())
        return response

    def close(self) -> None:
        """Do nothing: no connection is kept open."""


class _Response(requests.Response):
    """An answer whose JSON was read once, strictly."""

    def __init__(self, page: Any) -> None:
        super().__init__()
        self._page = page
        self._content = b""

    def json(self, **_: Any) -> Any:
        return self._page
