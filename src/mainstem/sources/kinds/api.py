"""JSON APIs: pages by dlt's paginators and the client of `sources.http`, each converted to Arrow at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import MainstemError, MissingExtra, SourceError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.sources import Api
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.http import LOOK_TIMEOUT, TIMEOUT, Client, parsed, validators, with_params
from mainstem.sources.kind import SourceKind
from mainstem.sources.progress import last_of, rows_at_last
from mainstem.sources.records import records_at
from mainstem.sources.secrets import expand_all, expand_url, redact

if TYPE_CHECKING:
    import pyarrow as pa

ATTEMPTS = 4
"""The maximum number of requests for a page if the server is busy or broken."""
BACKOFF = 0.3
"""Seconds before the second attempt. The delay doubles each time."""
PAGE = 1_000
"""Rows per request, if paging is by offset."""

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

        page = _first(source, _client(source, timeout=TIMEOUT))
        rows = records_at(page, source.records, redact(source.url))
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: type_of([row.get(name) for row in rows]) for name in names}

    def observe(self, source: Api, root: Path, cursor: str | None) -> str | None:
        if source.cursor and source.cursor_param and cursor is not None:
            return _beyond(source, cursor)
        if source.paging == "none" and source.cursor is None:
            url = with_params(expand_url(source.url), expand_all(source.params))
            return validators(_looking(source), url)
        return None  # later pages may change under the same first page

    def settled(self, source: Api, root: Path) -> str | None:
        return UP_TO_DATE if source.cursor else self.observe(source, root, None)

    def identity(self, source: Api) -> Mapping[str, Any]:
        return {name: getattr(source, name) for name in ("url", "records", "params", "cursor")}


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
    rest_client, session_class = _dlt()
    node: Api = request.node
    address = expand_url(node.url)
    client = _client(node, timeout=TIMEOUT, attempts=ATTEMPTS, backoff=BACKOFF)
    logging.getLogger("dlt").setLevel(logging.ERROR)  # it warns whenever an API has only one page
    with session_class(client, lambda: _repeated(node, f"{request.where}, {client.shown}")) as session:
        rest = rest_client(address, session=session)
        for page in rest.paginate(address, params=_params(node, request.cursor), paginator=_paginator(node)):
            yield page.response.json()


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


def _client(node: Api, **patience: Any) -> Client:
    return Client(expand_url(node.url), expand_all(node.headers), node.limits, shown=redact(node.url), **patience)


def _looking(node: Api) -> Client:
    """Return a client for a check for new data."""
    quick = replace(node.limits, seconds=min(LOOK_TIMEOUT, node.limits.seconds))
    headers = expand_all(node.headers)
    return Client(expand_url(node.url), headers, quick, shown=redact(node.url), timeout=LOOK_TIMEOUT)


def _first(node: Api, client: Client, cursor: str | None = None) -> Any:
    """Return the JSON of the first page beyond the cursor."""
    answer = client.get(with_params(expand_url(node.url), _params(node, cursor)))
    return parsed(answer, client.shown)


def _params(node: Api, cursor: str | None) -> dict[str, Any]:
    last = last_of(cursor)
    beyond = {} if last is None or not node.cursor_param else {node.cursor_param: last}
    return {**expand_all(node.params), **beyond}


def _paginator(node: Api) -> Any:
    from dlt.sources.helpers.rest_client import paginators as kinds

    match node.paging:
        case "page":
            return kinds.PageNumberPaginator(base_page=1, total_path=None)
        case "offset":
            return kinds.OffsetPaginator(limit=PAGE, total_path=None)
        case "link":
            return kinds.JSONLinkPaginator()
        case "none":
            return kinds.SinglePagePaginator()
    return None


def _dlt() -> tuple[Any, Any]:
    try:
        from dlt.sources.helpers.rest_client.client import RESTClient

        from mainstem.sources.session import ClientSession
    except ImportError as error:
        raise MissingExtra.named("api", "dlt") from error
    return RESTClient, ClientSession


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
