"""Web pages: rows by CSS selectors, as far as robots.txt allows."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from mainstem.errors import MissingExtra, SourceError
from mainstem.nodes.web import Web
from mainstem.ports import Engine
from mainstem.sources.exchange import Answer
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.http import AGENT, LOOK_TIMEOUT, TIMEOUT, Client, origin, validators
from mainstem.sources.kind import SourceKind
from mainstem.sources.secrets import expand_url, redact

if TYPE_CHECKING:
    import pyarrow as pa

_PROGRAM = Path(__file__).parents[1] / "selecting.py"
_PATIENCE = 60.0
"""Seconds for the selection of rows from a page."""
_ROBOTS = 512_000
"""Bytes of robots.txt that are read, as RFC 9309 asks for."""
ATTEMPTS = 4
"""The maximum number of requests for a page if the server is busy or unreachable."""
BACKOFF = 0.3
"""Seconds before the second attempt. The delay doubles each time."""


class WebKind(SourceKind[Web]):
    """Rows of a web page. Each collection reads all of them."""

    node_type = Web

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema

        return Extraction.replacing(_batches(request), arrow_schema(request.schema))

    def introspect(self, source: Web, root: Path, engine: Engine) -> Mapping[str, str]:
        return dict.fromkeys(source.fields, "string")

    def observe(self, source: Web, root: Path, cursor: str | None) -> str | None:
        quick = replace(source.limits, seconds=min(LOOK_TIMEOUT, source.limits.seconds))
        url = expand_url(source.url)
        return validators(Client(url, {}, quick, shown=redact(source.url), timeout=LOOK_TIMEOUT), url)

    def identity(self, source: Web) -> Mapping[str, Any]:
        return {name: getattr(source, name) for name in ("url", "cursor", "rows", "fields")}


def _batches(request: Request) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    from mainstem.sources.arrow import fit

    node: Web = request.node
    rows = selected(node, request.where)
    texts = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in node.fields}
    yield fit(pa.RecordBatch.from_pydict(texts), request.shape, redact(node.url), loose=True)


def selected(node: Web, where: str) -> list[dict[str, Any]]:
    """Return the rows of a page. Raises `SourceUnreachable`, and `SourceError` for an HTTP error or without rows."""
    for library in ("parsel", "protego"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra.named("web", library)
    url, shown = expand_url(node.url), redact(node.url)
    answer = _fetched(
        Client(url, {}, node.limits, shown=shown, timeout=TIMEOUT, attempts=ATTEMPTS, backoff=BACKOFF), url
    )
    job = {"url": answer.url, "page": _text(answer, shown), "rows": node.rows, "fields": dict(node.fields)}
    found = _run(job, shown)
    if not found["rows"]:
        raise _nothing(node, found["elements"], f"{where}, {shown}")
    return list(found["rows"])


def _fetched(client: Client, url: str) -> Answer:
    """Return the page. Raises `SourceError` if robots.txt does not allow it, also where a redirect leads to."""
    _permitted(client, url)
    answer = client.get(url)
    if origin(answer.url, client.shown) != client.home:
        _permitted(client.at(answer.url), answer.url)
    return answer


def _permitted(client: Client, url: str) -> None:
    from protego import Protego

    robots = client.patiently(urljoin(url, "/robots.txt"))
    rules = robots.body[:_ROBOTS].decode("utf-8", "replace") if robots.status == 200 else ""
    if not Protego.parse(rules).can_fetch(url, AGENT):
        raise SourceError("robots.txt does not allow this page", where=client.shown, hint="ask the site's owner")


def _text(answer: Answer, shown: str) -> str:
    """Return the text of a page in its declared charset: of its byte order mark, the header, or the page itself.

    Without one it is UTF-8, else Windows-1252, as in browsers.
    """
    from w3lib import encoding

    marked, _ = encoding.read_bom(answer.body)
    header = encoding.http_content_type_encoding(answer.headers.get("Content-Type"))
    declared = marked or header or encoding.html_body_declared_encoding(answer.body)
    for charset in [declared] if declared else ["utf-8", "cp1252"]:
        try:
            return answer.body.decode("utf-8-sig" if charset == "utf-8" else charset)
        except (UnicodeError, LookupError):
            continue
    raise SourceError(
        "the page is not text in its charset",
        where=shown,
        got=f"bytes that are not {declared}" if declared else "bytes that are neither UTF-8 nor Windows-1252",
        expected="a page in the charset that it declares",
    )


def _run(job: dict[str, Any], shown: str) -> dict[str, Any]:
    # -P keeps the program's directory off the import path: its modules have common names.
    command = [sys.executable, "-P", str(_PROGRAM)]
    try:
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise _unparsed(shown, f"no rows after {_PATIENCE:.0f} s") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise _unparsed(shown, redact(last[0]))
    return dict(json.loads(done.stdout))


def _unparsed(shown: str, got: str) -> SourceError:
    return SourceError("rows cannot be selected from the page", where=shown, got=got, hint="check the selectors")


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
