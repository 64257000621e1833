"""Single requests with the standard library. A check for new data then needs no HTTP client library."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.sources.secrets import redact

AGENT = "mainstem (+https://github.com/mainstem/mainstem)"
TIMEOUT = 30.0
"""Seconds until a server must answer."""
LOOK_TIMEOUT = 5.0
"""Seconds until a server must answer a check for new data."""


def with_params(url: str, params: Mapping[str, Any]) -> str:
    """Return `url` with additional query parameters."""
    scheme, host, path, query, fragment = urlsplit(url)
    return urlunsplit((scheme, host, path, "&".join(filter(None, (query, urlencode(params)))), fragment))


def validators(url: str, headers: Mapping[str, str], timeout: float) -> str | None:
    """Return the ETag of a page, else its time of change, else None."""
    for method in ("HEAD", "GET"):
        try:
            with _open(url, headers, timeout, method) as answer:
                found = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
                return str(found) if found else None
        except urllib.error.HTTPError as error:
            error.close()
            if method == "GET" or error.code not in (403, 404, 405, 501):
                raise
    return None


def get_json(url: str, headers: Mapping[str, str], timeout: float = TIMEOUT, *, template: str = "") -> Any:
    """Return the JSON at `url`. Raises `SourceUnreachable`, or `SourceError` for an HTTP error or invalid JSON."""
    shown = redact(url, template or url)
    try:
        with _open(url, headers, timeout, "GET") as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        error.close()
        raise refused(error.code, shown) from error
    except (OSError, HTTPException) as error:
        raise unreachable(shown, getattr(error, "reason", error)) from error
    except ValueError as error:
        raise not_json(shown, str(error)) from error


def refused(status: int, shown: str) -> SourceError:
    """Return the error for an HTTP status."""
    hint = {401: "headers={…} with a key", 403: "headers={…} with a key", 404: "check the url"}.get(status)
    return SourceError(f"the server answered {status}", where=shown, expected="200", hint=hint)


def unreachable(shown: str, reason: object) -> SourceUnreachable:
    return SourceUnreachable(
        "the source cannot be reached",
        where=shown,
        got=str(reason),
        expected="an answer",
        hint="check the server and the address",
    )


def root_cause(error: BaseException) -> BaseException:
    """Return the innermost reason of a client's exception: `[Errno 111] Connection refused`."""
    while (inner := error.__cause__ or _held(error)) is not None:
        error = inner
    return error


def _held(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None) or next(iter(error.args), None)
    return reason if isinstance(reason, BaseException) else None


def not_json(shown: str, reason: str) -> SourceError:
    return SourceError("the answer is not valid JSON", where=shown, got=reason, expected="JSON", hint="run again")


def _open(url: str, headers: Mapping[str, str], timeout: float, method: str) -> Any:
    if urlsplit(url).scheme not in ("http", "https"):
        raise SourceError("the address is not the URL of a web server", got=redact(url), expected="http:// or https://")
    request = urllib.request.Request(url, headers={"User-Agent": AGENT, **headers}, method=method)
    return urllib.request.urlopen(request, timeout=timeout)
