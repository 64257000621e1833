"""JSON bodies with limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mainstem.errors import RequestError, close_matches
from mainstem.masking import brief
from mainstem.serving.http.messages import Request
from mainstem.serving.http.refusals import TooLarge
from mainstem.serving.limits import Limits
from mainstem.streaming.rows import AN_INSTANT, parse_instant

_decode = msgspec.json.Decoder().decode


def read_json(request: Request) -> Any:
    """Return the body's JSON value. Raises `RequestError` for invalid JSON."""
    try:
        return _decode(request.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            "the body is not JSON",
            where=request.path,
            got=str(error),
            expected="a JSON object or list",
            hint="see /docs",
        ) from None


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
            "`time` is not an instant", where=where, got=brief(repr(value)), expected=AN_INSTANT, hint=str(problem)
        ) from None
