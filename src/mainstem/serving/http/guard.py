"""Authorisation: API keys with scopes, and protection against web pages that send requests through a browser.

Without API keys, the server answers only if both ends of the connection are loopback addresses and the host name is a
loopback name: a page whose domain points to 127.0.0.1 is refused. So is a request that a proxy forwarded. Bodies must
have a JSON content type, which a page of another origin cannot send.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from functools import lru_cache

from mainstem.errors import Forbidden
from mainstem.serving.http.messages import Request
from mainstem.serving.http.refusals import HeadersTooLarge, PathTooLong, Unauthorized, WrongType
from mainstem.serving.keys import ApiKey, Keyring, allows, verify
from mainstem.serving.limits import Limits

_PASSED_ON = (b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip")
_KEY = "mainstem key create NAME --scope predict"


@lru_cache(1_024)
def is_loopback(host: str) -> bool:
    """Return whether a host name reaches only this machine."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def bounded(request: Request, limits: Limits) -> None:
    """Refuse a path or headers beyond their limits. Raises `PathTooLong` or `HeadersTooLarge`."""
    path = len(request.scope.get("raw_path") or request.path) + len(request.scope.get("query_string", b""))
    if path > limits.max_path:
        raise PathTooLong.of(path, limits.max_path)
    size = sum(len(name) + len(value) for name, value in request.scope["headers"])
    if size > limits.max_headers:
        raise HeadersTooLarge.of(f"{size} bytes", limits.max_headers)


def admit(request: Request, keyring: Keyring, *, open_to_all: bool) -> ApiKey | None:
    """Return the key of a request, or None if it needs none. Raises `Unauthorized` or `Forbidden`."""
    if keyring.keyless:
        _from_here(request)
        return None
    return None if open_to_all else _key(request, keyring)


def allowed(key: ApiKey | None, scope: str | None) -> None:
    """Refuse a key that lacks the scope. Raises `Forbidden`."""
    if key is not None and scope is not None and not allows(key, scope):
        raise Forbidden(
            f"the key {key.name!r} is not allowed to do this",
            got=", ".join(key.scopes),
            expected=f"the scope {scope!r}",
        )


def json_only(request: Request) -> None:
    """Raise `WrongType` unless the body has a JSON content type."""
    type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if type != "application/json":
        raise WrongType(
            "the body does not say that it is JSON",
            got=type[:80] or "no Content-Type",
            expected="application/json",
            hint="curl -H 'Content-Type: application/json' --data @rows.json …",
        )


def _from_here(request: Request) -> None:
    for end in ("client", "server"):
        address = request.scope.get(end)
        if not address or not is_loopback(str(address[0])):
            got = f"a connection with {address[0]}" if address else "a connection of unknown origin"
            raise Forbidden("without API keys only this machine is answered", got=got, expected="loopback", hint=_KEY)
    host = request.header("host") or ""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name and not is_loopback(name):
        raise Forbidden(
            "without API keys only this machine is answered",
            got=f"Host: {host[:80]}",
            expected="localhost or 127.0.0.1",
            hint=_KEY,
        )
    passed = next((header for header, _ in request.scope["headers"] if header in _PASSED_ON), None)
    if passed is not None:
        raise Forbidden(
            "without API keys only this machine is answered, not a proxy",
            got=f"the header {passed.decode()}",
            expected="a request that no proxy passed on",
            hint=_KEY,
        )


def _key(request: Request, keyring: Keyring) -> ApiKey:
    token = _token(request.header("authorization") or "")
    key = verify(keyring.keys, token) if token else None
    if key is None:
        what = "the API key is not valid" if token else "the API key is missing"
        raise Unauthorized(what, expected="Authorization: Bearer ms_…", hint="mainstem key create NAME --scope …")
    return key


def _token(header: str) -> str:
    """Return the key of `Bearer KEY`, or the password of `Basic …`, which a browser asks a person for."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
