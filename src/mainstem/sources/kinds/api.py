"""JSON APIs: pages by dlt's paginators and the client of `sources.http`, each converted to Arrow at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import MainstemError, MissingExtra, SourceError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.apis import Api
from mainstem.nodes.limits import Limits
from mainstem.nodes.paging import Offset, Page, settled
from mainstem.ports import Engine
from mainstem.sources.authorising import credentials_of
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.http import (
    ATTEMPTS,
    BACKOFF,
    LOOK_TIMEOUT,
    TIMEOUT,
    Client,
    parsed,
    validators,
    with_params,
)
from mainstem.sources.kind import SourceKind
from mainstem.sources.progress import last_of, rows_at_last
from mainstem.sources.records import records_at, with_value
from mainstem.sources.secrets import expand_all, expand_url, expanded, redact

if TYPE_CHECKING:
    import pyarrow as pa

UP_TO_DATE = "nothing beyond the cursor"

_END = object()


class ApiKind(SourceKind[Api]):
    """A JSON API, read page by page: records beyond the cursor, or all records without a cursor."""

    node_type = Api

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema
        from mainstem.sources.cursors import Watermark

        schema = arrow_schema(request.schema)
        pages = _batches(request)
        if request.node.cursor is None:
            return Extraction.replacing(pages, schema)
        mark = Watermark(request.node.cursor, request.cursor)
        return Extraction.appending((mark.fresh(page) for page in pages), schema, mark.text)

    def introspect(self, source: Api, root: Path, engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.inference import type_of

        page = _first(source, _client(source, timeout=TIMEOUT, attempts=ATTEMPTS, backoff=BACKOFF))
        rows = records_at(page, source.records, redact(source.url))
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: type_of([row.get(name) for row in rows]) for name in names}

    def observe(self, source: Api, root: Path, cursor: str | None) -> str | None:
        if source.cursor and source.cursor_param and cursor is not None:
            return _beyond(source, cursor)
        if source.paging == "none" and source.cursor is None and source.method == "GET":
            url = with_params(expand_url(source.url), expand_all(source.params))
            return validators(_looking(source), url)
        return None  # later pages may change under the same first page

    def settled(self, source: Api, root: Path) -> str | None:
        return UP_TO_DATE if source.cursor else self.observe(source, root, None)

    def identity(self, source: Api) -> Mapping[str, Any]:
        asked = {"body": source.body or {}} if source.method == "POST" else {}
        return {**{name: getattr(source, name) for name in ("url", "records", "params", "cursor")}, **asked}


# ── extraction ────────────────────────────────────────────────────────────────────────────────────────


def _batches(request: Request) -> Iterator[pa.RecordBatch]:
    from mainstem.sources.arrow import from_records

    node: Api = request.node
    shown, rows = redact(node.url), 0
    for number, page in enumerate(_pages(request), 1):
        where = f"{shown}, page {number}"
        records = records_at(page, "$", f"{request.where}, {where}")
        if records:
            yield from_records(records, request.shape, where)
        rows += len(records)
        request.report(f"{rows:,} rows, {number} page{'s' if number > 1 else ''}")


def _pages(request: Request) -> Iterator[list[Any]]:
    """Yield the records of each page. Raises `SourceUnreachable` and `SourceError`, both without secrets."""
    node: Api = request.node
    where, before, answers = f"{request.where}, {redact(node.url)}", None, _answers(request)
    for number in count(1):
        try:
            page = next(answers, _END)
        except MainstemError:
            raise
        except Exception as error:  # whatever dlt's paginators make of an answer that they do not expect
            raise SourceError(
                "the next page cannot be found",
                where=where,
                got=f"{type(error).__name__}: {redact(str(error))}",
                expected=f"an answer with paging={node.paging!r}",
                hint='paging="none", or the kind of paging it has',
            ) from None
        if page is _END:
            return
        if number > node.limits.pages:
            raise _too_many(node.limits.pages, where)
        records = records_at(page, node.records, where)
        if records and records == before:
            raise _repeated(node, where)
        yield records
        before = records


def _answers(request: Request) -> Iterator[Any]:
    """Yield the JSON of each page."""
    rest_client, session_class, end_of_pages = _dlt()
    from mainstem.sources.paging import paginator

    node: Api = request.node
    address = expand_url(node.url)
    client = _client(node, timeout=TIMEOUT, attempts=ATTEMPTS, backoff=BACKOFF)
    logging.getLogger("dlt").setLevel(logging.ERROR)  # it warns whenever an API has only one page
    params, body = _asked(node, request.cursor)
    where = f"{request.where}, {client.shown}"

    def probe(further: Mapping[str, Any]) -> Any:
        answer = client.ask(with_params(address, {**params, **further}))
        if 200 <= answer.status < 300:
            with suppress(SourceError):
                return parsed(answer, client.shown)
        return None

    paging = paginator(node, where, probe)
    ended = getattr(paging, "ended_by", lambda _: False)
    with session_class(client, lambda: _repeated(node, where), ended) as session:
        rest, asked = rest_client(address, session=session), {"params": params, "json": body, "paginator": paging}
        try:
            for page in rest.paginate(address, method=node.method, data_selector="$", **asked):
                yield page.response.json()
        except end_of_pages:
            return


def _repeated(node: Api, where: str) -> SourceError:
    return SourceError(
        "the API returns the same page repeatedly",
        where=where,
        got=f"paging={node.paging!r}",
        hint='paging="none", or the kind of paging it has',
    )


def _too_many(most: int, where: str) -> SourceError:
    return SourceError(
        "the API has too many pages",
        where=where,
        got=f"more than {most:,} pages",
        expected=f"at most {most:,} pages",
        hint="limits=ms.limits(pages=…) allows more",
    )


def _client(node: Api, limits: Limits | None = None, **patience: Any) -> Client:
    url, headers, shown = expand_url(node.url), expand_all(node.headers), redact(node.url)
    credentials = credentials_of(node.auth, node.limits)
    return Client(url, headers, limits or node.limits, shown=shown, credentials=credentials, **patience)


def _looking(node: Api) -> Client:
    """Return a client for a check for new data."""
    return _client(node, replace(node.limits, seconds=min(LOOK_TIMEOUT, node.limits.seconds)), timeout=LOOK_TIMEOUT)


def _first(node: Api, client: Client, cursor: str | None = None) -> Any:
    """Return the JSON of the first page beyond the cursor."""
    params, body = _asked(node, cursor)
    sent = None if body is None else json.dumps(body).encode()
    answer = client.get(with_params(expand_url(node.url), params), node.method, sent, "application/json")
    return parsed(answer, client.shown)


def _asked(node: Api, cursor: str | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the parameters and the body of the first request. What is beyond the cursor, and the page, are asked for
    in the body if there is one."""
    last = last_of(cursor)
    asked = {} if last is None or not node.cursor_param else {node.cursor_param: last}
    asked |= _start(node)
    params = expand_all(node.params)
    if node.method == "GET":
        return {**params, **asked}, None
    body = expanded(node.body or {})
    for name, value in asked.items():
        body = with_value(body, name, value)
    return params, body


def _start(node: Api) -> dict[str, Any]:
    """Return how the first request asks for its page."""
    match settled(node.paging):
        case Offset(param, size, size_param):
            return {param: 0, **({size_param: size} if size else {})}
        case Page(param, first, size, size_param):
            return {param: first, **({size_param: size} if size else {})}
    return {}


def _dlt() -> tuple[Any, Any, type[Exception]]:
    try:
        from dlt.sources.helpers.rest_client.client import RESTClient

        from mainstem.sources.session import ClientSession, EndOfPages
    except ImportError as error:
        raise MissingExtra.named("api", "dlt") from error
    return RESTClient, ClientSession, EndOfPages


# ── observation ───────────────────────────────────────────────────────────────────────────────────────


def _beyond(source: Api, cursor: str) -> str | None:
    """Request what is beyond the cursor."""
    last = last_of(cursor)
    page = _first(source, _looking(source), cursor)
    rows = records_at(page, source.records, redact(source.url))
    order = [_order(row.get(str(source.cursor)), last) for row in rows]
    if any(o > 0 for o in order) and all(o >= 0 for o in order):
        return f"more: {digest(canonical(rows))}"
    if not rows or (source.paging == "none" and order.count(0) == len(rows) <= rows_at_last(cursor)):
        return UP_TO_DATE
    return None  # this page had only stored rows; new ones may be on a later page


def _order(value: Any, last: Any) -> int:
    """Return −1, 0 or 1: before, at or beyond the last value."""
    if last is None:
        return 1
    if value is None:
        return 0
    a, b = _comparable(value), _comparable(last)
    if type(a) is not type(b):
        a, b = str(value), str(last)
    return int(a > b) - int(a < b)


def _comparable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return value
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
