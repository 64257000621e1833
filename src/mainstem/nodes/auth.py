"""How a source proves to an HTTP server who asks. Secrets are masked wherever they would be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mainstem.masking import remember
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import optional, text, word, words


@dataclass(frozen=True)
class Bearer:
    """A token in the header `Authorization`."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class Basic:
    """A user and a password in the header `Authorization`."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class ApiKey:
    """A key in a header, a parameter of the URL, or a cookie, of this name."""

    name: str
    value: str = field(repr=False)
    place: Literal["header", "query", "cookie"] = "header"


@dataclass(frozen=True)
class OAuth2:
    """Client credentials (RFC 6749, 4.4): a token from `token_url`, again before it expires or when it is refused."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    place: Literal["header", "body"] = "header"


Auth = Bearer | Basic | ApiKey | OAuth2


@declared(token=text)
def bearer(token: str) -> Bearer:
    """Send a token: `auth=ms.bearer("${env:TOKEN}")`."""
    return Bearer(_secret(token))


@declared(user=text, password=words)
def basic(user: str, password: str) -> Basic:
    """Send a user and a password: `auth=ms.basic("reader", "${env:PASSWORD}")`."""
    return Basic(user, _secret(password))


@declared(name=text, value=text, place=word("header", "query", "cookie"))
def api_key(name: str, value: str, place: Literal["header", "query", "cookie"] = "header") -> ApiKey:
    """Send a key as a header, a parameter of the URL, or a cookie: `auth=ms.api_key("X-Key", "${env:KEY}")`."""
    return ApiKey(name, _secret(value), place)


@declared(token_url=text, client_id=text, client_secret=text, scope=optional(text), place=word("header", "body"))
def oauth2(
    token_url: str,
    client_id: str,
    client_secret: str,
    scope: str | None = None,
    place: Literal["header", "body"] = "header",
) -> OAuth2:
    """Get a token with client credentials, and send it: `auth=ms.oauth2(url, "id", "${env:SECRET}", scope="read")`.

    `place` says where the id and the secret stand in the request for a token. A token is asked for again shortly before
    it expires, and once when the server answers 401.
    """
    return OAuth2(token_url, client_id, _secret(client_secret), scope, place)


def _secret(value: str) -> str:
    """Return a secret, which is masked from now on. `${env:NAME}` is remembered when it is expanded."""
    if value and "${env:" not in value:
        remember(value)
    return value
