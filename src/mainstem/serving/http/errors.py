"""Errors as answers: the only place that knows HTTP status codes.

{"error": "RequestError", "what": …, "where": …, "got": …, "expected": …, "hint": …}
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mainstem.errors import (
    Forbidden,
    MainstemError,
    MissingExtra,
    NotFound,
    RequestError,
    StorageError,
    Unavailable,
    UnknownName,
)
from mainstem.serving.http.messages import Response, encode

logger = logging.getLogger(__name__)


class Unauthorized(Forbidden):
    """There is no key, or it is not known."""


class WrongMethod(RequestError):
    """The path is answered, but not to this method."""

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} is not answered to {method}", got=method, expected=allowed, hint="see /docs")
        self.allowed = allowed


class WrongType(RequestError):
    """The body is not JSON, or does not say that it is."""


class TooLarge(RequestError):
    """The body has more bytes or rows than the server takes."""

    @classmethod
    def body(cls, got: str, limit: int) -> TooLarge:
        hint = "send fewer rows at a time, or raise max_bytes under [serve] in mainstem.toml"
        return cls("the body is too large", got=got, expected=f"at most {limit} bytes", hint=hint)

    @classmethod
    def rows(cls, got: int, limit: int, where: str) -> TooLarge:
        hint = "send fewer at a time, or raise max_rows under [serve] in mainstem.toml"
        return cls("there are too many rows", where=where, got=f"{got}", expected=f"at most {limit}", hint=hint)


class TooSlow(RequestError):
    """The body did not arrive, or the answer was not ready, in time."""


STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (UnknownName, 404),
    (WrongMethod, 405),
    (TooSlow, 408),
    (TooLarge, 413),
    (WrongType, 415),
    (RequestError, 400),
    (Unavailable, 503),
    (MissingExtra, 503),
)
"""The first that fits counts."""


def status_of(error: Exception) -> int:
    """The status of an error: 400s are the client's, 503 and 507 pass, 500 is ours."""
    if isinstance(error, StorageError):
        return 507 if "full" in error.what else 503
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def answer(error: Exception) -> Response:
    """The answer to a request that failed. What is not a `MainstemError` is logged, and not shown."""
    if not isinstance(error, MainstemError):
        logger.error("a request failed", exc_info=error)
        error = MainstemError("the server failed", hint="its log says why")
        return Response(encode(described(error)), status=500)
    return Response(encode(described(error)), status=status_of(error), headers=_headers(error))


def described(error: MainstemError) -> dict[str, str]:
    """An error as JSON; what it does not say is left out."""
    parts = {name: getattr(error, name) for name in ("what", "where", "got", "expected", "hint")}
    return {"error": error.kind, **{name: text for name, text in parts.items() if text}}


def _headers(error: MainstemError) -> Mapping[str, str]:
    if isinstance(error, WrongMethod):
        return {"allow": error.allowed}
    if isinstance(error, Unauthorized):
        return {"www-authenticate": 'Basic realm="Mainstem", charset="UTF-8"'}
    return {"retry-after": "1"} if status_of(error) == 503 else {}
