"""API keys: made once, shown once, kept as hashes.

A key has 256 random bits, so one salted SHA-256 keeps it: slow hashes are for secrets that people think up.
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
"""`predict` and `ingest` post, `read` sees pages and metrics, `admin` may do all."""

PREFIX = "ms"


@dataclass(frozen=True)
class ApiKey:
    """A key as it is kept; `id` is public and part of the key, `hash` is SHA-256 over salt and secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    salt: str
    hash: str
    created_at: datetime = field(default_factory=now)
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class KeyInfo:
    """A key as it is shown."""

    name: str
    scopes: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class Keyring:
    """Who may ask: the valid keys. `keyless` is whether this machine may ask without one."""

    keys: tuple[ApiKey, ...] = ()
    keyless: bool = False


def keyring(state: State, *, keyless: bool = False) -> Keyring:
    """The keys as they are now. No key is needed until the first is made; with `keyless`, until one is valid.

    So revoking the last key opens nothing.
    """
    every = state.find(ApiKey)
    valid = tuple(key for key in every if key.revoked_at is None)
    return Keyring(valid, keyless=not valid and (keyless or not every))


def create(state: State, name: str, scopes: Sequence[str]) -> str:
    """Make a key and return it, this once. Raises `RequestError` for an unknown scope or a name that is taken."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise RequestError(
            "a key needs scopes that exist",
            got=", ".join(unknown) or "none",
            expected=f"some of {', '.join(SCOPES)}",
            hint="mainstem key create NAME --scope predict",
        )
    if any(key.name == name for key in valid(state)):
        raise RequestError(f"there is a key {name!r} already", hint=f"mainstem key revoke {name}")
    id, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(32), secrets.token_hex(16)
    state.save(ApiKey(id, name, tuple(scopes), salt, _hash(salt, secret)))
    return f"{PREFIX}_{id}_{secret}"


def valid(state: State) -> list[ApiKey]:
    """The keys that are not revoked."""
    return [key for key in state.find(ApiKey) if key.revoked_at is None]


def shown(state: State) -> list[KeyInfo]:
    """The valid keys, without what is secret."""
    return [KeyInfo(key.name, key.scopes, key.created_at) for key in valid(state)]


def revoke(state: State, name: str) -> None:
    """End a key's validity; a running server knows within a second. Raises `NotFound`."""
    keys = valid(state)
    found = [key for key in keys if key.name == name]
    if not found:
        raise NotFound(f"unknown key {name!r}", expected=", ".join(k.name for k in keys) or "none was made yet")
    state.save(*(replace(key, revoked_at=now()) for key in found))


def verify(keys: Iterable[ApiKey], token: str) -> ApiKey | None:
    """The key that a token is, in constant time for each."""
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
