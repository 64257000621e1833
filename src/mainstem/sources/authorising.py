"""The credentials of a declaration: fixed ones, and tokens that expire."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

from mainstem.errors import SourceError
from mainstem.masking import brief, remember
from mainstem.nodes.auth import ApiKey, Auth, Basic, Bearer, OAuth2
from mainstem.nodes.limits import Limits
from mainstem.sources.credentials import Credentials
from mainstem.sources.http import ATTEMPTS, BACKOFF, Client, parsed
from mainstem.sources.secrets import expand, expand_url, redact

EARLY = 30.0
"""Seconds before a token expires at which another one is asked for."""
FORM = "application/x-www-form-urlencoded"


def credentials_of(auth: Auth | None, limits: Limits) -> Credentials:
    """Return the credentials of a declaration, with its variables expanded. Raises `SettingsError`."""
    match auth:
        case Bearer(token):
            return _Fixed({"Authorization": f"Bearer {expand(token)}"})
        case Basic(user, password):
            return _Fixed({"Authorization": _basic(expand(user), expand(password))})
        case ApiKey(name, value, "query"):
            return _Fixed({}, {name: expand(value)})
        case ApiKey(name, value, "cookie"):
            return _Fixed({"Cookie": f"{name}={expand(value)}"})
        case ApiKey(name, value, _):
            return _Fixed({name: expand(value)})
        case OAuth2():
            return _Token(auth, limits)
    return Credentials()


class _Fixed(Credentials):
    def __init__(self, headers: Mapping[str, str], params: Mapping[str, str] | None = None) -> None:
        self._headers, self._params = headers, params or {}

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def params(self) -> Mapping[str, str]:
        return self._params


class _Token(Credentials):
    """A token of an authorisation server, kept until it expires or is refused."""

    def __init__(self, auth: OAuth2, limits: Limits) -> None:
        self._auth, self._limits = auth, limits
        self._token: str | None = None
        self._until: float | None = None
        self._is_new = False

    def headers(self) -> Mapping[str, str]:
        if self._token is None or (self._until is not None and time.monotonic() >= self._until):
            self._ask()
        else:
            self._is_new = False
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        if self._is_new:  # the server refuses what it was just given
            return False
        self._token = None
        return True

    def _ask(self) -> None:
        client, url = self._client()
        answer = client.get(url, "POST", self._form(), FORM)
        given = parsed(answer, client.shown)
        token = given.get("access_token") if isinstance(given, dict) else None
        if not isinstance(token, str) or not token:
            raise SourceError(
                "the authorisation server gave no token",
                where=client.shown,
                got=brief(", ".join(given) if isinstance(given, dict) else type(given).__name__, 200),
                expected="a JSON object with access_token",
            )
        remember(token)
        self._token, self._is_new = token, True
        lasts = given.get("expires_in")
        known = isinstance(lasts, (int, float)) or (isinstance(lasts, str) and lasts.isdecimal())
        seconds = float(lasts) if known else None
        self._until = None if seconds is None else time.monotonic() + max(seconds - EARLY, seconds / 2)

    def _client(self) -> tuple[Client, str]:
        url, auth = expand_url(self._auth.token_url), self._auth
        client_id, secret = expand(auth.client_id), expand(auth.client_secret)
        headers = {"Authorization": _basic(quote_plus(client_id), quote_plus(secret))} if auth.place == "header" else {}
        shown = redact(auth.token_url)
        return Client(url, headers, self._limits, shown=shown, attempts=ATTEMPTS, backoff=BACKOFF), url

    def _form(self) -> bytes:
        auth = self._auth
        form: dict[str, Any] = {"grant_type": "client_credentials"}
        form |= {"scope": auth.scope} if auth.scope else {}
        if auth.place == "body":
            form |= {"client_id": expand(auth.client_id), "client_secret": expand(auth.client_secret)}
        return urlencode(form).encode()


def _basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
