"""Errors as responses. Only this module knows HTTP status codes.

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
from mainstem.serving.http.refusals import (
    HeadersTooLarge,
    PathTooLong,
    TooLarge,
    TooSlow,
    Unauthorized,
    WrongMethod,
    WrongType,
)

logger = logging.getLogger(__name__)
_NONE: Mapping[str, str] = {}


STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (UnknownName, 404),
    (WrongMethod, 405),
    (TooSlow, 408),
    (TooLarge, 413),
    (PathTooLong, 414),
    (WrongType, 415),
    (HeadersTooLarge, 431),
    (RequestError, 400),
    (Unavailable, 503),
    (MissingExtra, 503),
)
"""The first class that matches determines the status."""


def status_of(error: Exception) -> int:
    """Return the status of an error: 4xx are the client's, 503 and 507 are temporary, 500 is the server's."""
    if isinstance(error, StorageError):
        return 507 if "full" in error.what else 503
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def answer(error: Exception, path: str = "") -> Response:
    """Return the response to a failed request. An exception that is not a `MainstemError` is logged and not shown.

    Below /v2, it is `{"error": "text"}`, as the Open Inference Protocol has it.
    """
    if not isinstance(error, MainstemError):
        logger.error("a request failed", exc_info=error)
        error = MainstemError("the server failed", hint="see the server's log")
        status, headers = 500, _NONE
    else:
        status, headers = status_of(error), _headers(error)
    one_line = path == "/v2" or path.startswith("/v2/")
    told = {"error": "; ".join(str(error).split("\n  "))} if one_line else described(error)
    return Response(encode(told), status=status, headers=headers)


def described(error: MainstemError) -> dict[str, str]:
    """Return an error as JSON without its empty parts."""
    return {"error": error.kind, **{name: text for name, text in error.parts.items() if text}}


def _headers(error: MainstemError) -> Mapping[str, str]:
    if isinstance(error, WrongMethod):
        return {"allow": error.allowed}
    if isinstance(error, Unauthorized):
        return {"www-authenticate": 'Basic realm="Mainstem", charset="UTF-8"'}
    return {"retry-after": "1"} if status_of(error) == 503 else {}
