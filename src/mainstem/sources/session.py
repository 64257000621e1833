"""The client of sources as a session of the library requests, which dlt's paginators work on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import BaseAdapter

from mainstem.errors import SourceError
from mainstem.sources.http import Client, parsed


class ClientSession(requests.Session):
    """A session whose requests are made by `client`.

    Of a prepared request only the URL is used: the client knows the credentials, and to whom they go. A URL that was
    requested before raises the error of `repeated`.
    """

    def __init__(self, client: Client, repeated: Callable[[], SourceError]) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(client, repeated))


class _Adapter(BaseAdapter):
    def __init__(self, client: Client, repeated: Callable[[], SourceError]) -> None:
        super().__init__()
        self._client, self._repeated = client, repeated
        self._visited = set[str]()

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        url = str(request.url)
        if url in self._visited:
            raise self._repeated()
        self._visited.add(url)
        answer = self._client.get(url)
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
