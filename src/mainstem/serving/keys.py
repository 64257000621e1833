"""API keys: created once, shown once, and stored as hashes.

A key has 256 random bits, so one salted SHA-256 is enough. Slow hashes are for secrets that people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args

from mainstem.errors import NotFound, RequestError
from mainstem.nodes.records import now
from mainstem.ports import State

Scope = Literal["predict", "ingest", "read", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
"""`predict` and `ingest` may post. `read` may read pages and metrics. `admin` may do everything."""

PREFIX = "ms"


@dataclass(frozen=True)
class ApiKey:
    """A stored key. `id` is public and part of the key. `hash` is SHA-256 over salt and secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    salt: str
    hash: str
    created_at: datetime = field(default_factory=now)
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class KeyInfo:
    """A key without its secrets."""

    name: str
    scopes: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class Keyring:
    """The valid keys. `keyless` is whether requests from this machine need none."""

    keys: tuple[ApiKey, ...] = ()
    keyless: bool = False


def keyring(state: State, *, keyless: bool = False) -> Keyring:
    """Return the current keys. No key is needed until the first is created; with `keyless`, while none is valid.

    So revoking the last key opens nothing.
    """
    every = state.find(ApiKey)
    valid = tuple(key for key in every if key.revoked_at is None)
    return Keyring(valid, keyless=not valid and (keyless or not every))


def create(state: State, name: str, scopes: Sequence[str]) -> str:
    """Create a key and return it. It cannot be shown again.

    Raises `RequestError` for an unknown scope or a name that is taken.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise RequestError(
            "unknown or missing scopes",
            got=", ".join(unknown) or "none",
            expected=f"some of {', '.join(SCOPES)}",
            hint="mainstem key create NAME --scope predict",
        )
    if any(key.name == name for key in valid(state)):
        raise RequestError(f"the key {name!r} exists already", hint=f"mainstem key revoke {name}")
    id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_hex(16)
    state.save(ApiKey(id, name, tuple(scopes), salt, _hash(salt, secret)))
    return f"{PREFIX}_{id}_{secret}"


def valid(state: State) -> list[ApiKey]:
    """Return the keys that are not revoked."""
    return [key for key in state.find(ApiKey) if key.revoked_at is None]


def shown(state: State) -> list[KeyInfo]:
    """Return the valid keys without secrets."""
    return [KeyInfo(key.name, key.scopes, key.created_at) for key in valid(state)]


def revoke(state: State, name: str) -> None:
    """Revoke a key. A running server notices it within a second. Raises `NotFound`."""
    keys = valid(state)
    found = [key for key in keys if key.name == name]
    if not found:
        raise NotFound(f"unknown key {name!r}", expected=", ".join(k.name for k in keys) or "no key exists yet")
    state.save(*(replace(key, revoked_at=now()) for key in found))


def verify(keys: Iterable[ApiKey], token: str) -> ApiKey | None:
    """Return the key of a token, or None. Each comparison takes constant time."""
    prefix, _, rest = token.partition("_")
    id, _, secret = rest.partition("_")
    if prefix != PREFIX:
        return None
    candidates = [key for key in keys if key.id == id]
    return next((key for key in candidates if hmac.compare_digest(key.hash, _hash(key.salt, secret))), None)


def allows(key: ApiKey, scope: str) -> bool:
    return scope in key.scopes or "admin" in key.scopes


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()
