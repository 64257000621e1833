"""JSON APIs: pages through dlt's REST client, each converted to Arrow at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import MissingExtra, SourceError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.sources import Api
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.http import (
    AGENT,
    LOOK_TIMEOUT,
    TIMEOUT,
    get_json,
    not_json,
    refused,
    root_cause,
    unreachable,
    validators,
    with_params,
)
from mainstem.sources.kind import SourceKind
from mainstem.sources.progress import last_of, rows_at_last
from mainstem.sources.records import records_at
from mainstem.sources.secrets import expand, expand_all, redact

if TYPE_CHECKING:
    import pyarrow as pa

ATTEMPTS = 4
"""The maximum number of requests for a page if the server is busy or broken."""
BACKOFF = 0.3
"""Seconds before the second attempt. The delay doubles each time."""
PAGE = 1_000
"""Rows per request, if paging is by offset."""


UP_TO_DATE = "nothing beyond the cursor"


class ApiKind(SourceKind[Api]):
    """A JSON API, read page by page: records beyond the cursor, or all records without a cursor."""

    node_type = Api

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema
        from mainstem.sources.cursors import Watermark

        schema = arrow_schema(request.schema)
        pages = _batches(request, schema)
        if request.node.cursor is None:
            return Extraction.replacing(pages, schema)
        mark = Watermark(request.node.cursor, request.cursor)
        return Extraction.appending((mark.fresh(page) for page in pages), schema, mark.text)

    def introspect(self, source: Api, root: Path, engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.inference import type_of

        url = with_params(expand(source.url), expand_all(source.params))
        page = get_json(url, expand_all(source.headers), template=source.url)
        rows = records_at(page, source.records, redact(source.url))
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: type_of([row.get(name) for row in rows]) for name in names}

    def observe(self, source: Api, root: Path, cursor: str | None) -> str | None:
        if source.cursor and source.cursor_param and cursor is not None:
            return _beyond(source, cursor)
        if source.paging == "none" and source.cursor is None:
            url = with_params(expand(source.url), expand_all(source.params))
            return validators(url, expand_all(source.headers), LOOK_TIMEOUT)
        return None  # later pages may change under the same first page

    def settled(self, source: Api, root: Path) -> str | None:
        return UP_TO_DATE if source.cursor else self.observe(source, root, None)

    def identity(self, source: Api) -> Mapping[str, Any]:
        return {name: getattr(source, name) for name in ("url", "records", "params", "cursor")}


# ── extraction ────────────────────────────────────────────────────────────────────────────────────────


def _batches(request: Request, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    from mainstem.sources.arrow import from_records

    node: Api = request.node
    shown, rows = redact(node.url), 0
    for number, page in enumerate(_pages(request), 1):
        where = f"{request.where}, {shown}, page {number}"
        records = records_at(page, "$", where)
        if records:
            yield from_records(records, schema, where)
        rows += len(records)
        request.report(f"{rows:,} rows, {number} page{'s' if number > 1 else ''}")


def _pages(request: Request) -> Iterator[list[Any]]:
    """Yield the records of each page. Raises `SourceUnreachable` and `SourceError`, both without secrets."""
    client_class, requests_client, requests = _dlt()
    node: Api = request.node
    shown, address = redact(node.url), expand(node.url)
    session = requests_client(
        request_timeout=TIMEOUT, request_max_attempts=ATTEMPTS, request_backoff_factor=BACKOFF, raise_for_status=False
    ).session
    client = client_class(address, headers={"User-Agent": AGENT, **expand_all(node.headers)}, session=session)
    logging.getLogger("dlt").setLevel(logging.ERROR)  # it warns whenever an API has only one page
    templates = (node.url, *node.params.values(), *node.headers.values())
    try:
        before: Any = None
        for page in client.paginate(address, params=_params(node, request.cursor), paginator=_paginator(node)):
            records = records_at(page.response.json(), node.records, f"{request.where}, {shown}")
            if records and records == before:
                raise SourceError(
                    "the API returns the same page repeatedly",
                    where=f"{request.where}, {shown}",
                    got=f"paging={node.paging!r}",
                    hint='paging="none", or the kind of paging it has',
                )
            yield records
            before = records
    except requests.exceptions.JSONDecodeError as error:
        raise not_json(shown, str(error)) from error
    except requests.exceptions.HTTPError as error:
        error.response.close()
        raise refused(error.response.status_code, redact(shown, *templates)) from error
    except requests.exceptions.RequestException as error:
        raise unreachable(shown, redact(str(root_cause(error)), *templates)) from error
    finally:
        session.close()


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


def _dlt() -> tuple[Any, Any, Any]:
    try:
        import requests
        from dlt.sources.helpers.requests import Client
        from dlt.sources.helpers.rest_client.client import RESTClient
    except ImportError as error:
        raise MissingExtra.named("api", "dlt") from error
    return RESTClient, Client, requests


# ── observation ───────────────────────────────────────────────────────────────────────────────────────


def _beyond(source: Api, cursor: str) -> str | None:
    """Request what is beyond the cursor."""
    last = last_of(cursor)
    params = {**expand_all(source.params), **({} if last is None else {str(source.cursor_param): last})}
    url, headers = with_params(expand(source.url), params), expand_all(source.headers)
    page = get_json(url, headers, LOOK_TIMEOUT, template=source.url)
    rows = records_at(page, source.records, source.url)
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
