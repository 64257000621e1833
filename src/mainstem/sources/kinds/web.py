"""Web pages: rows by CSS selectors, crawled by Scrapy in its own process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import MissingExtra, SourceError
from mainstem.nodes.sources import Web
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.http import AGENT, LOOK_TIMEOUT, TIMEOUT, refused, unreachable, validators
from mainstem.sources.kind import SourceKind
from mainstem.sources.secrets import expand, redact

if TYPE_CHECKING:
    import pyarrow as pa

_PROGRAM = Path(__file__).parents[1] / "crawl.py"
_PATIENCE = 4 * TIMEOUT
"""Seconds for a whole crawl, with retries."""


class WebKind(SourceKind[Web]):
    """Rows of a web page. Each collection reads all of them."""

    node_type = Web

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema

        return Extraction.replacing(_batches(request), arrow_schema(request.schema))

    def introspect(self, source: Web, root: Path, engine: Engine) -> Mapping[str, str]:
        return dict.fromkeys(source.fields, "string")

    def observe(self, source: Web, root: Path, cursor: str | None) -> str | None:
        return validators(expand(source.url), {}, LOOK_TIMEOUT)

    def identity(self, source: Web) -> Mapping[str, Any]:
        return {name: getattr(source, name) for name in ("url", "cursor", "rows", "fields")}


def _batches(request: Request) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    from mainstem.sources.arrow import arrow_schema, cast

    node: Web = request.node
    schema = arrow_schema(request.schema)
    rows = crawl(node, request.where)
    texts = [pa.array([row.get(f.name) for row in rows], pa.string()) for f in schema]
    columns = [cast(column, f, request.where) for column, f in zip(texts, schema, strict=True)]
    yield pa.RecordBatch.from_arrays(columns, schema=schema)


def crawl(node: Web, where: str) -> list[dict[str, Any]]:
    """Return the rows of a page. Raises `SourceUnreachable`, and `SourceError` for an HTTP error or without rows."""
    if importlib.util.find_spec("scrapy") is None:
        raise MissingExtra.named("web", "scrapy")
    shown = redact(node.url)
    job = {"url": expand(node.url), "rows": node.rows, "fields": dict(node.fields), "agent": AGENT, "timeout": TIMEOUT}
    found = _run(job, shown)
    if "status" in found:
        raise refused(found["status"], shown)
    if "error" in found:
        reason = redact(found["error"], node.url)
        if "robots" in reason.lower():
            raise SourceError("robots.txt does not allow this page", where=shown, hint="ask the site's owner")
        raise unreachable(shown, reason)
    if not found["rows"]:
        raise _nothing(node, found["elements"], f"{where}, {shown}")
    return list(found["rows"])


def _run(job: dict[str, Any], shown: str) -> dict[str, Any]:
    # -P keeps the program's directory off the import path: its modules have common names.
    command = [sys.executable, "-P", str(_PROGRAM)]
    try:
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise unreachable(shown, f"no answer within {_PATIENCE:.0f} s") from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise SourceError("the crawl failed", where=shown, got=last[0])
    return dict(json.loads(done.stdout))


def _nothing(node: Web, elements: int, where: str) -> SourceError:
    if elements:
        got = f"{elements} elements without any of the fields"
        return SourceError(
            "no field was found on the page", where=where, got=got, expected=f"fields={dict(node.fields)}"
        )
    return SourceError(
        f"the selector {node.rows!r} matches nothing on the page",
        where=where,
        expected="at least one element",
        hint="check whether the page has changed",
    )
