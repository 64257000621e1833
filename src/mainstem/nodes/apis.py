"""JSON APIs as a source: the request, how its pages follow each other, and who asks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mainstem.nodes.auth import Auth
from mainstem.nodes.base import names, refused
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import a, anything, column, mapping, optional, text, word
from mainstem.nodes.limits import LIMITS, Limits
from mainstem.nodes.paging import NAMED, Paging
from mainstem.nodes.sources import COLLECTED, TIME, KnownSpec, Source

PagingSpec = Literal["auto", "page", "offset", "link", "none"] | Paging
"""A kind of paging: by its name, or with its settings. `"auto"` finds it from the first answer, or fails."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Api(Source):
    """A JSON API that is read page by page. `records` is the JSON path of the rows within a page. With the method POST,
    what asks for a page or for rows beyond the cursor goes into the `body`."""

    url: str
    records: str = "$"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cursor_param: str | None = None
    paging: PagingSpec = "auto"
    limits: Limits = Limits()  # noqa: RUF009
    auth: Auth | None = None
    method: Literal["GET", "POST"] = "GET"
    body: Mapping[str, Any] | None = None


def _paging(name: str, value: Any) -> None:
    """Require the name of a kind of paging, or one with its settings."""
    if not isinstance(value, get_args(Paging)) and not (isinstance(value, str) and value in ("auto", "none", *NAMED)):
        expected = '"auto", "none", "link", "page", "offset", or ms.paging.cursor("next", param="cursor") and the like'
        raise refused(f"`{name}` has an invalid value", value, expected)


def _auth(name: str, value: Any) -> None:
    """Require a value that proves who asks."""
    if not isinstance(value, get_args(Auth)):
        expected = "ms.bearer(…), ms.basic(…), ms.api_key(…) or ms.oauth2(…)"
        raise refused(f"`{name}` has an invalid value", value, expected)


def _body(name: str, value: Any) -> None:
    """Require a JSON object."""
    mapping(anything)(name, value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise refused(f"`{name}` is not a JSON object", value, f"plain values ({error})") from None


@declared(
    limits=a(Limits, LIMITS),
    url=text,
    records=text,
    time=TIME,
    cursor=optional(column),
    cursor_param=optional(text),
    params=optional(mapping(text)),
    headers=optional(mapping(text)),
    paging=_paging,
    auth=optional(_auth),
    method=word("GET", "POST"),
    body=optional(_body),
    **COLLECTED,
)
def api(
    url: str,
    *,
    records: str = "$",
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    cursor: str | None = None,
    cursor_param: str | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    paging: PagingSpec = "auto",
    auth: Auth | None = None,
    method: Literal["GET", "POST"] = "GET",
    body: Mapping[str, Any] | None = None,
    limits: Limits = Limits(),  # noqa: B008
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Api:
    """Declare a JSON API. With a `cursor` column, its last value is sent as `cursor_param` (default: the column's
    name).

    `records` is the path of the rows: `items`, `data.rows`, `groups[*].items[*]`. `paging` says how pages follow each
    other, as in `paging=ms.paging.cursor("meta.next", param="after")`. `auth` says who asks: `ms.bearer(…)`,
    `ms.basic(…)`, `ms.api_key(…)`, `ms.oauth2(…)`. With `method="POST"` the `body` is sent as JSON.

    `auth`, `headers`, and the password of the URL, go to the URL's origin only: not to another one that the server
    redirects or links to. `limits` is what the server may take of resources, as in `ms.limits(seconds=600)`.
    Raises `DefinitionError`.
    """
    if body is not None and method != "POST":
        raise refused("a request with a body needs another method", method, 'method="POST"')
    return Api(
        url=url,
        records=records,
        key=names(key),
        time=time,
        known=known,
        schema=schema,
        cursor=cursor,
        cursor_param=cursor_param or cursor,
        params=dict(params or {}),
        headers=dict(headers or {}),
        paging=paging,
        auth=auth,
        method=method,
        body=body,
        limits=limits,
        checks=tuple(checks),
        **meta,
    )
