"""JSON APIs: pages through dlt's REST client, each turned into Arrow at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from mainstem.errors import MissingExtra, SourceError
from mainstem.nodes.sources import Api
from mainstem.sources.arrow import arrow_schema, from_records
from mainstem.sources.cursors import Watermark
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.http import AGENT, TIMEOUT, not_json, refused, root_cause, unreachable
from mainstem.sources.progress import last_of
from mainstem.sources.records import records_at
from mainstem.sources.secrets import expand, expand_all, redact

ATTEMPTS = 4
"""Requests for a page before a server that is busy or broken is given up."""
BACKOFF = 0.3
"""Seconds before the second attempt; doubled each time."""
PAGE = 1_000
"""Rows asked for at a time, where paging is by offset."""


def extract(request: Request) -> Extraction:
    """Records beyond the cursor, or all of them where there is none."""
    node: Api = request.node
    schema = arrow_schema(request.schema)
    pages = _batches(request, schema)
    if node.cursor is None:
        return Extraction.replacing(pages, schema)
    mark = Watermark(node.cursor, request.cursor)
    return Extraction.appending((mark.fresh(page) for page in pages), schema, mark.text)


def _batches(request: Request, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
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
    """The records of each page. Raises `SourceUnreachable` and `SourceError`, without a secret in either."""
    client_class, requests_client, requests = _dlt()
    node: Api = request.node
    shown, address = redact(node.url), expand(node.url)
    session = requests_client(
        request_timeout=TIMEOUT, request_max_attempts=ATTEMPTS, request_backoff_factor=BACKOFF, raise_for_status=False
    ).session
    client = client_class(address, headers={"User-Agent": AGENT, **expand_all(node.headers)}, session=session)
    logging.getLogger("dlt").setLevel(logging.ERROR)  # it warns whenever it finds that an API has one page only
    templates = (node.url, *node.params.values(), *node.headers.values())
    try:
        before: Any = None
        for page in client.paginate(address, params=_params(node, request.cursor), paginator=_paginator(node)):
            records = records_at(page.response.json(), node.records, f"{request.where}, {shown}")
            if records and records == before:
                raise SourceError(
                    "the API gives the same page again and again",
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
