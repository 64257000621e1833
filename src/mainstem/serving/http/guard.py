"""Authorisation: API keys with scopes, and protection against web pages that send requests through a browser.

Without API keys the server answers only on loopback, and only requests with a loopback host name: a page whose domain
points to 127.0.0.1 is refused. Bodies must have a JSON content type, which a page of another origin cannot send.
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
    """Return whether a host name reaches only this machine."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def admit(request: Request, scope: str | None, keys: Sequence[ApiKey]) -> None:
    """Raise `Unauthorized` or `Forbidden` unless the request has the `scope`."""
    if not keys:
        _from_here(request)
    elif scope is not None:
        _with_key(request, scope, keys)


def json_only(request: Request) -> None:
    """Raise `WrongType` unless the body has a JSON content type."""
    type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if type != "application/json":
        raise WrongType(
            "the content type of the body is not JSON",
            got=type or "no Content-Type",
            expected="application/json",
            hint="curl -H 'Content-Type: application/json' --data @rows.json …",
        )


def _from_here(request: Request) -> None:
    host = request.header("host") or ""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name and not is_loopback(name):
        raise Forbidden(
            "requests from other hosts require an API key",
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
            f"the key {key.name!r} lacks a scope",
            got=", ".join(key.scopes),
            expected=f"the scope {scope!r}",
        )


def _token(header: str) -> str:
    """Return the key of `Bearer KEY`, or the password of `Basic …`, which a browser asks a person for."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
