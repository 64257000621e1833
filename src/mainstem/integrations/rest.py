"""A small client of JSON over HTTP, of the standard library: bounded, and with credentials for one origin only."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from mainstem.errors import StorageError

PATIENCE = 60.0
"""Seconds for one request."""

LARGEST = 50 * 2**20
"""Bytes of an answer."""


class Api:
    """An API below `root` of a server. `token` or `user` (name and password) authenticate; `credentials` says where
    they are from."""

    credentials = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"

    def __init__(self, uri: str, root: str, token: str | None = None, user: tuple[str, str] | None = None) -> None:
        self.uri, self._root = uri, root
        basic = base64.b64encode(":".join(user).encode()).decode() if user else None
        self._authorization = f"Bearer {token}" if token else f"Basic {basic}" if basic else None

    def get(self, path: str, query: Mapping[str, str], *, missing: bool = False) -> dict[str, Any] | None:
        """Return the answer; None for an unknown thing, if `missing` allows that."""
        return self._asked("GET", f"{self._root}/{path}?{urlencode(query)}", None, missing=missing)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._asked("POST", f"{self._root}/{path}", json.dumps(body).encode()) or {}

    def put(self, path: str, content: bytes) -> None:
        """Upload a file to a path of the server."""
        self._asked("PUT", quote(path), content, kind="application/octet-stream")

    def _asked(
        self, method: str, path: str, body: bytes | None, *, kind: str = "application/json", missing: bool = False
    ) -> dict[str, Any] | None:
        request = Request(f"{self.uri}{path}", body, {"Content-Type": kind}, method=method)
        if self._authorization is not None:
            # Not sent on when the server redirects to another one.
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with urlopen(request, timeout=PATIENCE) as answer:
                content = answer.read(LARGEST)
        except HTTPError as problem:
            with problem:
                if problem.code == 404 and missing:
                    return None
                told = problem.read(2_000).decode(errors="replace")
            hint = self.credentials if problem.code in (401, 403) else None
            where = f"{method} {self.uri}{path.partition('?')[0]}"
            raise StorageError("the server refuses", where=where, got=f"{problem.code} {told}", hint=hint) from None
        except (URLError, HTTPException, OSError) as problem:
            reason = str(getattr(problem, "reason", problem)) or type(problem).__name__
            raise StorageError("the server cannot be reached", where=self.uri, got=reason) from None
        try:
            found = json.loads(content) if content.strip() else {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            got = content[:100].decode(errors="replace")
            raise StorageError("the server does not answer JSON", where=f"{self.uri}{path.partition('?')[0]}", got=got)
        return found
