"""The HTTP client of every source: credentials go to the declared origin only, and a server gets limited resources.

An origin is scheme, host and port. The rules:

- Headers, credentials and the password of the declared URL go to its origin only. They do not come back after a
  redirect to another one. Neither does the body of a request.
- A redirect to another origin is followed without credentials. A redirect from https to http is refused.
- A link to a next page at another origin is refused.
- Body size, total time, pages and redirects are limited: `mainstem.nodes.limits`.

It uses the standard library only, so that a check for new data imports no HTTP library.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.masking import brief, masked
from mainstem.nodes.limits import Limits
from mainstem.sources.credentials import Credentials
from mainstem.sources.exchange import Answer, Clock, exchange
from mainstem.sources.secrets import redact

AGENT = "mainstem (+https://github.com/mainstem/mainstem)"
TIMEOUT = 30.0
"""Seconds until a server must send something."""
LOOK_TIMEOUT = 5.0
"""Seconds for a check for new data."""
ATTEMPTS = 4
"""The maximum number of requests for a page if the server is busy or broken."""
BACKOFF = 0.3
"""Seconds before the second attempt. The delay doubles each time."""
BUSY = (429, 500, 502, 503, 504)
"""The statuses of a server that is asked again."""
REDIRECTS = (301, 302, 303, 307, 308)
PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]


class Client:
    """Requests to the server of one source, whose declared `url` and `headers` have their variables expanded.

    `shown` is the URL for errors. `timeout` is the number of seconds that the server may be silent. A server that is
    busy or unreachable is asked up to `attempts` times, at first after `backoff` seconds, or when it says by
    `Retry-After`. The client's time, the `seconds` of `limits`, begins with its construction.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        limits: Limits,
        *,
        shown: str,
        timeout: float = TIMEOUT,
        attempts: int = 1,
        backoff: float = 0.0,
        credentials: Credentials | None = None,
    ) -> None:
        self.limits = limits
        self.shown = shown
        self.home = origin(url, shown)
        self._headers = {**_basic(url), **headers}
        self._credentials = credentials or Credentials()
        self._clock = Clock(limits.seconds, timeout)
        self._attempts, self._backoff = attempts, backoff

    def at(self, url: str) -> Client:
        """Return a client for another origin, without credentials, within the same time."""
        other = copy(self)
        other.home, other._headers, other._credentials = origin(url, self.shown), {}, Credentials()
        return other

    def having(self, headers: Mapping[str, str]) -> Client:
        """Return a client that sends more headers to its server, within the same time."""
        other = copy(self)
        other._headers = {**self._headers, **headers}
        return other

    def get(self, url: str, method: str = "GET", body: bytes | None = None, kind: str = "") -> Answer:
        """Return the answer to a request, with a body of a media type. Raises `SourceUnreachable`, and `SourceError`
        for a status other than 2xx."""
        return self.good(self.patiently(url, method, body, kind))

    def patiently(self, url: str, method: str = "GET", body: bytes | None = None, kind: str = "") -> Answer:
        """Return the answer to a request, whatever its status, after all attempts. Raises `SourceError`."""
        for attempt in range(1, self._attempts + 1):
            last, wait = attempt == self._attempts, self._backoff * 2 ** (attempt - 1)
            try:
                answer = self.ask(url, method, body, kind)
            except SourceUnreachable:
                if last:
                    raise
            else:
                if last or answer.status not in BUSY:
                    return answer
                wait = self._asked(answer, wait)
            time.sleep(max(0.0, min(wait, self._clock.left)))
        raise AssertionError("the last attempt returns or raises")

    def _asked(self, answer: Answer, wait: float) -> float:
        """Return the seconds that the server asks to wait. Raises `SourceError` if there is no time for it."""
        asked = retry_after(answer.headers.get("Retry-After"))
        if asked is not None and asked > self._clock.left:
            error = refused(answer.status, self.shown)
            error.got = f"Retry-After: {asked:,.0f} s"
            error.expected = f"an answer within {self._clock.left:,.0f} s"
            error.hint = "run again later; limits=ms.limits(seconds=…) allows more"
            raise error
        return wait if asked is None else asked

    def ask(self, url: str, method: str = "GET", body: bytes | None = None, kind: str = "") -> Answer:
        """Return the answer after redirects, whatever its status. Raises `SourceError`, `SourceUnreachable`."""
        if origin(url, self.shown) != self.home:
            raise self._elsewhere(url)
        answer = self._redirecting(url, method, body, kind)
        at_home = origin(answer.url, self.shown) == self.home
        if answer.status == 401 and at_home and self._credentials.renew():
            return self._redirecting(url, method, body, kind)
        return answer

    def _redirecting(self, url: str, method: str, body: bytes | None, kind: str) -> Answer:
        is_home = True
        for _ in range(self.limits.redirects + 1):
            answer = self._exchange(url, is_home, method, body, kind)
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not location:
                return answer
            url = self._redirected(url, location)
            is_home = is_home and origin(url, self.shown) == self.home
            if body is not None and (answer.status not in (307, 308) or not is_home):
                raise SourceError(
                    "the server redirects a request with a body",
                    where=self.shown,
                    got=f"{answer.status} to {brief(redact(url), 200)}",
                    expected="an answer",
                    hint="the body was not sent there; declare that url",
                )
        raise SourceError(
            "the server redirects too often",
            where=self.shown,
            got=f"more than {self.limits.redirects} redirects",
            expected="an answer",
            hint="check the url; limits=ms.limits(redirects=…) allows more",
        )

    def _exchange(self, url: str, is_home: bool, method: str, body: bytes | None, kind: str) -> Answer:
        headers = {"User-Agent": AGENT, "Accept-Encoding": "gzip, deflate"}
        if body is not None:
            headers["Content-Type"] = kind
        to = _plain(url)
        if is_home:
            headers |= self._headers
            headers |= self._credentials.headers()
            to = _and_params(to, self._credentials.params())
        try:
            answer = exchange(to, headers, method, self._clock, self.limits.bytes, body)
            return replace(answer, url=url)
        except SourceError as error:
            raise error.at(self.shown) from None
        except (OSError, HTTPException) as error:
            raise unreachable(self.shown, redact(str(root_cause(error)) or type(error).__name__)) from None
        except ValueError:  # its text quotes the header or the URL
            raise SourceError(
                "a header or the url has a character that HTTP does not allow",
                where=self.shown,
                expected="printable ASCII, without line breaks",
                hint="does a secret end with a line break?",
            ) from None

    def _redirected(self, url: str, location: str) -> str:
        try:
            to = urljoin(url, location)
            scheme = urlsplit(to).scheme
        except ValueError:
            to, scheme = location, ""
        if scheme not in PORTS or (scheme == "http" and urlsplit(url).scheme == "https"):
            raise SourceError(
                "the server redirects from https to http"
                if scheme == "http"
                else "the server redirects to no web page",
                where=self.shown,
                got=brief(redact(to), 200),
                expected="https://" if scheme == "http" else "http:// or https://",
                hint="the redirect was not followed, and nothing was sent there",
            )
        return to

    def good(self, answer: Answer) -> Answer:
        """Return the answer if its status is 2xx. Raises `SourceError`."""
        if 200 <= answer.status < 300:
            return answer
        error = refused(answer.status, self.shown)
        if answer.status in (401, 403) and origin(answer.url, self.shown) != self.home:
            error.got = f"a redirect to {brief(redact(answer.url), 200)}, where no credentials were sent"
            error.hint = "if you trust it, declare that url"
        raise error

    def _elsewhere(self, url: str) -> SourceError:
        scheme, host, port = self.home
        return SourceError(
            "the next page is at another origin",
            where=self.shown,
            got=brief(redact(url), 200),
            expected=f"a page at {scheme}://{host}:{port}",
            hint="credentials are not sent elsewhere; use another kind of paging, or declare the other url",
        )


def validators(client: Client, url: str) -> str | None:
    """Return the ETag of a page, else its time of change, else None. Raises `SourceError`."""
    answer = client.ask(url, "HEAD")
    if answer.status in (403, 404, 405, 501):
        answer = client.get(url)
    found = client.good(answer).headers.get("ETag") or answer.headers.get("Last-Modified")
    return masked(str(found)) if found else None


def parsed(answer: Answer, shown: str) -> Any:
    """Return the JSON of an answer. Raises `SourceError`.

    JSON is UTF-8, UTF-16 or UTF-32 whatever the header says. Only other bytes are read in the declared charset.
    """
    try:
        return json.loads(_text(answer, shown))
    except RecursionError:
        raise not_json(shown, "values that are nested too deeply") from None
    except ValueError as error:
        raise not_json(shown, str(error)) from None


def _text(answer: Answer, shown: str) -> str:
    charset = answer.headers.get_content_charset()
    for encoding in (json.detect_encoding(answer.body), charset):
        try:
            if encoding:
                return answer.body.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    raise SourceError(
        "the answer is not text in its charset",
        where=shown,
        got=f"bytes that are neither UTF-8 nor {charset}" if charset else "bytes that are not UTF-8",
        expected="JSON in UTF-8",
    )


# ── addresses ─────────────────────────────────────────────────────────────────────────────────────────


def with_params(url: str, params: Mapping[str, Any]) -> str:
    """Return `url` with additional query parameters."""
    scheme, host, path, query, fragment = urlsplit(url)
    return urlunsplit((scheme, host, path, "&".join(filter(None, (query, urlencode(params)))), fragment))


def _and_params(url: str, params: Mapping[str, str]) -> str:
    """Return `url` with parameters that it does not have."""
    has = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    return with_params(url, {name: value for name, value in params.items() if name not in has})


def retry_after(header: str | None) -> float | None:
    """Return the seconds of a header `Retry-After`, which has a number or a date; None for any other."""
    text = (header or "").strip()
    if text.isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def origin(url: str, shown: str) -> Origin:
    """Return scheme, host and port. Raises `SourceError` for an address that is not of a web server."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        clean = host and not any(char.isspace() or char == "\\" for char in parts.netloc)
    except ValueError:  # its text may quote a password
        scheme, host, port, clean = "", None, None, False
    if scheme not in PORTS or not host or not clean:
        raise SourceError(
            "the address is not the URL of a web server",
            where=shown,
            got=brief(redact(url), 200),
            expected="http:// or https://, and a host",
        )
    return scheme, host.rstrip("."), port or PORTS[scheme]


def _plain(url: str) -> str:
    """Return a URL as it is requested: without user, password and fragment, and quoted."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    path, query = (quote(text, safe="%/:=&?~+!$,;'@()*[]|") for text in (parts.path or "/", parts.query))
    return urlunsplit((parts.scheme, netloc, path, query, ""))


def _basic(url: str) -> dict[str, str]:
    """Return the header for the user and password of a URL."""
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────


def refused(status: int, shown: str) -> SourceError:
    """Return the error for an HTTP status."""
    asks = "auth=ms.bearer(…) or the like"
    hint = {401: asks, 403: asks, 404: "check the url"}.get(status)
    return SourceError(f"the server answered {status}", where=shown, expected="200", hint=hint).passing(status in BUSY)


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
