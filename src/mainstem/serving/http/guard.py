"""Who may ask: keys with scopes; and what keeps a web page from asking through its reader's browser.

Without any key the server answers on loopback only, to requests that name it by a loopback name: a page that points
its own name at 127.0.0.1 is refused. Bodies must say that they are JSON, which a page of another origin cannot do.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Sequence

from mainstem.errors import Forbidden
from mainstem.serving.http.messages import Request
from mainstem.serving.http.refusals import Unauthorized, WrongType
from mainstem.serving.keys import ApiKey, allows, verify


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host of this name."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def admit(request: Request, scope: str | None, keys: Sequence[ApiKey]) -> None:
    """Raises `Unauthorized` or `Forbidden` unless the request may do what needs `scope`."""
    if not keys:
        _from_here(request)
    elif scope is not None:
        _with_key(request, scope, keys)


def json_only(request: Request) -> None:
    """Raises `WrongType` unless the body says that it is JSON."""
    type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if type != "application/json":
        raise WrongType(
            "the body does not say that it is JSON",
            got=type or "no Content-Type",
            expected="application/json",
            hint="curl -H 'Content-Type: application/json' --data @rows.json …",
        )


def _from_here(request: Request) -> None:
    host = request.header("host") or ""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name and not is_loopback(name):
        raise Forbidden(
            "without API keys only this machine is answered",
            got=f"Host: {host}",
            expected="localhost or 127.0.0.1",
            hint="mainstem key create NAME --scope predict",
        )


def _with_key(request: Request, scope: str, keys: Sequence[ApiKey]) -> None:
    token = _token(request.header("authorization") or "")
    key = verify(keys, token) if token else None
    if key is None:
        what = "the API key is not valid" if token else "the API key is missing"
        raise Unauthorized(what, expected="Authorization: Bearer ms_…", hint="mainstem key create NAME --scope …")
    if not allows(key, scope):
        raise Forbidden(
            f"the key {key.name!r} is not allowed to do this",
            got=", ".join(key.scopes),
            expected=f"the scope {scope!r}",
        )


def _token(header: str) -> str:
    """The key in `Bearer KEY`, or in `Basic …` as the password, which is how a browser asks a person for it."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
