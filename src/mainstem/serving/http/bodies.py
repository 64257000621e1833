"""JSON bodies with limits."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from mainstem.errors import RequestError, close_matches
from mainstem.masking import brief_value
from mainstem.serving.http.messages import Request
from mainstem.serving.http.refusals import TooLarge
from mainstem.serving.limits import Limits
from mainstem.streaming.rows import AN_INSTANT, parse_instant

LARGE = 65_536
"""Bytes of a body that takes long to decode."""

_decode = msgspec.json.Decoder().decode


def read_json(request: Request) -> Any:
    """Return the body's JSON value. Raises `RequestError` for invalid JSON."""
    try:
        with _uncollected(len(request.content)):
            return _decode(request.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            "the body is not JSON",
            where=request.path,
            got=str(error),
            expected="a JSON object or list",
            hint="see /docs",
        ) from None


@contextmanager
def _uncollected(size: int) -> Iterator[None]:
    """Let a large body be decoded without collections of garbage: a million small lists begin hundreds of them, each of
    which looks at all lists so far, while the event loop waits."""
    pausing = size > LARGE and gc.isenabled()
    if pausing:
        gc.disable()
    try:
        yield
    finally:
        if pausing:
            gc.enable()


def rows_in(
    body: Any, field: str, options: frozenset[str], limits: Limits, where: str
) -> tuple[list[Any], dict[str, Any]]:
    """Return the rows of `{…}`, `[{…}, …]` or `{"<field>": [{…}, …], …}`, and the other options."""
    given: dict[str, Any] = {}
    if isinstance(body, dict) and isinstance(body.get(field), list):
        given = {name: value for name, value in body.items() if name != field}
        unknown = sorted(given.keys() - options)
        if unknown:
            allowed = ", ".join((field, *sorted(options)))
            near = close_matches(unknown[0], (field, *options)) or "see /docs"
            raise RequestError(
                f"unknown option {unknown[0]!r}", where=where, got=unknown[0], expected=allowed, hint=near
            )
        body = body[field]
    rows = body if isinstance(body, list) else [body]
    if not rows:
        raise RequestError(
            "the request has no rows", where=where, got="none", expected="at least one", hint="see /docs"
        )
    if len(rows) > limits.max_rows:
        raise TooLarge.rows(len(rows), limits.max_rows, where)
    return rows, given


def instant(options: Mapping[str, Any], where: str) -> int | None:
    """Return the option `time` in µs, or None. Raises `RequestError`."""
    value = options.get("time")
    if value is None:
        return None
    try:
        return parse_instant(value)
    except ValueError as problem:
        raise RequestError(
            "`time` is not an instant", where=where, got=brief_value(value), expected=AN_INSTANT, hint=str(problem)
        ) from None
