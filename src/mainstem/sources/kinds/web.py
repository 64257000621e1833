"""Web pages: rows by selectors, from page to page by links, as far as robots.txt allows."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from mainstem.errors import MissingExtra, SourceError
from mainstem.graph.fingerprint import canonical, digest, of_function
from mainstem.nodes.web import Web
from mainstem.ports import Engine
from mainstem.sources.exchange import Answer
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.http import AGENT, LOOK_TIMEOUT, TIMEOUT, Client, Origin, origin, validators
from mainstem.sources.kind import SourceKind
from mainstem.sources.remembered import Remembered
from mainstem.sources.secrets import expand_url, redact
from mainstem.sources.spiders import spun

if TYPE_CHECKING:
    import pyarrow as pa

_PROGRAM = Path(__file__).parents[1] / "selecting.py"
_PATIENCE = 60.0
"""Seconds for the selection of rows from a page."""
_ROBOTS = 512_000
"""Bytes of robots.txt that are read, as RFC 9309 asks for."""
SAMPLE = 100
"""The number of rows that tell the columns of a spider."""
UNCHANGED = 304
"""The status of a page that is as it was when it was read before."""
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
        if source.spider is None:
            return dict.fromkeys(source.fields, "string")
        first = islice(selected(source, str(source.origin), root), SAMPLE)
        return {name: "string" for row in first for name in row}

    def observe(self, source: Web, root: Path, cursor: str | None) -> str | None:
        if source.next or source.follow or source.spider:
            return None  # another page may change under the same first page
        quick = replace(source.limits, seconds=min(LOOK_TIMEOUT, source.limits.seconds))
        url = expand_url(source.url)
        return validators(Client(url, {}, quick, shown=redact(source.url), timeout=LOOK_TIMEOUT), url)

    def identity(self, source: Web) -> Mapping[str, Any]:
        more = {name: getattr(source, name) for name in ("next", "follow") if getattr(source, name)}
        more |= {"spider": _named(source.spider)} if source.spider else {}
        return {**{name: getattr(source, name) for name in ("url", "cursor", "rows", "fields")}, **more}


def _batches(request: Request) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    from mainstem.sources.arrow import fit

    node: Web = request.node
    rows = list(selected(node, request.where, request.root))
    names = node.fields or dict.fromkeys([*request.schema, *(name for row in rows for name in row)])
    texts = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    yield fit(pa.RecordBatch.from_pydict(texts), request.shape, redact(node.url), loose=True)


def selected(node: Web, where: str, root: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a source, page by page. Raises `SourceUnreachable`, and `SourceError` for an HTTP error or
    without rows."""
    for library in ("parsel", "protego"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtra.named("web", library)
    return _Crawl(node, where, root).rows()


class _Crawl:
    """The pages of a source, each once: first those of a list, then those that they link to."""

    def __init__(self, node: Web, where: str, root: Path) -> None:
        self.node, self.shown = node, redact(node.url)
        self.where = f"{where}, {self.shown}"
        self.start = expand_url(node.url)
        patience: Any = {"timeout": TIMEOUT, "attempts": ATTEMPTS, "backoff": BACKOFF}
        self.client = Client(self.start, {}, node.limits, shown=self.shown, **patience)
        self.links = {n: s for n, s in (("next", node.next), ("follow", node.follow)) if s is not None}
        spider: Any = node.spider
        own = "" if spider is None else of_function(spider)
        self._remembered = Remembered(root, digest(node.url, canonical([node.rows, node.fields, self.links]), own))
        self._rules: dict[Origin, Any] = {}
        self._elements = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows. Raises `SourceError` if no page has one."""
        waiting, known, read, found = deque([(self.start, 0)]), {self.start}, 0, False
        while waiting:
            url, depth = waiting.popleft()
            read += 1
            if read > self.node.limits.pages:
                raise self._too_many()
            page = self._page(url, is_first=read == 1)
            if depth > 0 or not self.node.follow:
                self._elements += page["elements"]
                found = found or bool(page["rows"])
                yield from page["rows"]
            for link, far in self._further(page["links"], depth):
                if link not in known:
                    known.add(link)
                    waiting.append((link, far))
        if not found:
            raise _nothing(self.node, self._elements, self.where)
        self._remembered.end()

    def _further(self, links: Mapping[str, list[str]], depth: int) -> Iterator[tuple[str, int]]:
        """Yield the links of a page within the origin and the depth."""
        steps = [(link, depth) for link in links.get("next", [])]
        steps += [(link, depth + 1) for link in links.get("follow", []) if depth < self.node.depth]
        for link, far in steps:
            if link.startswith(("http://", "https://")) and origin(link, self.shown) == self.client.home:
                yield link, far

    def _page(self, url: str, *, is_first: bool) -> dict[str, Any]:
        """Return the rows and links of a page. Raises `SourceError` if robots.txt does not allow it, also where a
        redirect leads to."""
        delay = self._permitted(self.client, url)
        if not is_first and delay:
            time.sleep(min(delay, self.node.limits.seconds))
        answer = self.client.having(self._remembered.conditions(url)).patiently(url)
        known = self._remembered.page(url) if answer.status == UNCHANGED else None
        if known is not None:
            return known
        found = self._selected(self.client.good(answer))
        self._remembered.keep(url, answer, found)
        return found

    def _selected(self, answer: Answer) -> dict[str, Any]:
        if origin(answer.url, self.shown) != self.client.home:
            self._permitted(self.client.at(answer.url), answer.url)
        if self.node.spider is not None:
            return spun(self.node.spider, answer.url, _text(answer, self.shown), self.where)
        text, fields = _text(answer, self.shown), dict(self.node.fields)
        job = {"url": answer.url, "page": text, "rows": self.node.rows, "fields": fields, "links": self.links}
        return _run(job, self.shown)

    def _permitted(self, client: Client, url: str) -> float:
        """Return the seconds that robots.txt asks to wait between pages. It is read once."""
        from protego import Protego

        if client.home not in self._rules:
            robots = client.patiently(urljoin(url, "/robots.txt"))
            text = robots.body[:_ROBOTS].decode("utf-8", "replace") if robots.status == 200 else ""
            self._rules[client.home] = Protego.parse(text)
        rules = self._rules[client.home]
        if not rules.can_fetch(url, AGENT):
            raise SourceError("robots.txt does not allow this page", where=client.shown, hint="ask the site's owner")
        return float(rules.crawl_delay(AGENT) or 0.0)

    def _too_many(self) -> SourceError:
        most = self.node.limits.pages
        return SourceError(
            "the site has too many pages",
            where=self.where,
            got=f"more than {most:,} pages",
            expected=f"at most {most:,} pages",
            hint="limits=ms.limits(pages=…) allows more",
        )


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


def _named(spider: Any) -> str:
    return f"{spider.__module__}.{spider.__qualname__}"


def _nothing(node: Web, elements: int, where: str) -> SourceError:
    if node.spider is not None:
        got = f"no row from {_named(node.spider)}"
        return SourceError(
            "the spider found nothing", where=where, got=got, hint="check whether the pages have changed"
        )
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
