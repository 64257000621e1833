"""From page to page of an API: paginators as dlt's client calls them, by the rows that an answer really has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urljoin

from mainstem.errors import SourceError
from mainstem.masking import brief
from mainstem.nodes.apis import Api
from mainstem.nodes.paging import Cursor, Link, Offset, Page, settled
from mainstem.sources.records import MISSING, records_at, value_at, with_value
from mainstem.sources.signs import Sign, linked, signs

Probe = Callable[[Mapping[str, Any]], Any]
"""Asks for the page with further parameters. Returns its JSON; None if the answer has another status or is no JSON."""


class Paginator(Protocol):
    """What dlt's client asks after each answer. It reads no further once `has_next_page` is false."""

    @property
    def has_next_page(self) -> bool: ...

    def init_request(self, request: Any) -> None: ...

    def update_state(self, response: Any, data: Any = None) -> None: ...

    def update_request(self, request: Any) -> None: ...


def paginator(node: Api, where: str, probe: Probe) -> Paginator:
    """Return the paginator of a declaration."""
    if node.paging == "auto":
        return Auto(node, where, probe)
    match settled(node.paging):
        case Link(path):
            return Linked(node, where, path)
        case Cursor() as cursor:
            return Token(node, where, cursor)
        case Offset() as offset:
            return Skipping(node, where, offset)
        case Page() as page:
            return Numbered(node, where, page)
    return _Pages(node, where)


def said(node: Api, request: Any, name: str, value: Any) -> None:
    """Set a field of the body, or a parameter of the URL without one."""
    if node.method == "POST":
        request.json = with_value(request.json, name, value)
    else:
        request.params = {**(request.params or {}), name: value}


def _rows(node: Api, response: Any, where: str) -> list[dict[str, Any]]:
    return records_at(response.json(), node.records, where)


class _Pages:
    """One page."""

    def __init__(self, node: Api, where: str) -> None:
        self._node, self._where = node, where
        self.has_next_page = False

    def init_request(self, request: Any) -> None:
        """Do nothing: the first request asks for the first page."""

    def update_state(self, response: Any, data: Any = None) -> None:
        """Do nothing: there is one page."""

    def update_request(self, request: Any) -> None:
        """Do nothing: there is one page."""


class Linked(_Pages):
    """Follows links at a path, or where the answer has one."""

    def __init__(self, node: Api, where: str, path: str | None) -> None:
        super().__init__(node, where)
        self._path, self._first, self._address = path, True, ""

    def update_state(self, response: Any, data: Any = None) -> None:
        page = response.json()
        found = value_at(page, self._path) if self._path else _link(self._node, response, self._where)
        if self._first and found is MISSING:
            _require_end(self._node, response, self._where, f"no link at {self._path!r}" if self._path else "no link")
        self._first = False
        address = None if found is MISSING else linked(found)
        if address and not isinstance(address, str):
            raise _no_link(address, self._path, self._where)
        self.has_next_page, self._address = bool(address), address or ""

    def update_request(self, request: Any) -> None:
        if self.has_next_page:
            request.url, request.params = urljoin(request.url, self._address), None


class Token(_Pages):
    """Sends the token of the last answer."""

    def __init__(self, node: Api, where: str, cursor: Cursor) -> None:
        super().__init__(node, where)
        self._cursor, self._first, self._token = cursor, True, None

    def update_state(self, response: Any, data: Any = None) -> None:
        cursor = self._cursor
        header, path = cursor.header, cursor.path or "$"
        found = response.headers.get(header, MISSING) if header else value_at(response.json(), path)
        if self._first and found is MISSING:
            at = f"the header {cursor.header}" if cursor.header else repr(cursor.path)
            _require_end(self._node, response, self._where, f"no token at {at}")
        self._first = False
        if isinstance(found, (dict, list)):
            raise _no_link(found, cursor.path, self._where)
        self.has_next_page, self._token = found is not MISSING and found not in (None, False, ""), found

    def update_request(self, request: Any) -> None:
        if self.has_next_page:
            said(self._node, request, self._cursor.param, self._token)


class Skipping(_Pages):
    """Skips the rows that were given, however many were asked for. The first answer without rows is the end."""

    def __init__(self, node: Api, where: str, offset: Offset) -> None:
        super().__init__(node, where)
        self._offset, self._rows = offset, 0

    def update_state(self, response: Any, data: Any = None) -> None:
        given = len(_rows(self._node, response, self._where))
        self._rows += given
        self.has_next_page = given > 0

    def update_request(self, request: Any) -> None:
        said(self._node, request, self._offset.param, self._rows)


class Numbered(_Pages):
    """Counts pages up to the first one without rows."""

    def __init__(self, node: Api, where: str, page: Page) -> None:
        super().__init__(node, where)
        self._page, self._number = page, page.first
        self._read = self._total = 0

    def update_state(self, response: Any, data: Any = None) -> None:
        rows = _rows(self._node, response, self._where)
        totals = [sign.value for sign in _signs(self._node, response, self._where) if sign.kind == "total"]
        self._total = max([self._total, *totals])
        self._read += len(rows)
        self._number += 1
        self.has_next_page = bool(rows)

    def ended_by(self, status: int) -> bool:
        """Return whether a status means that there is no further page, as many servers answer 404 behind the last."""
        return status == 404 and self._read > 0 and self._read >= self._total

    def update_request(self, request: Any) -> None:
        said(self._node, request, self._page.param, self._number)


class Auto(_Pages):
    """Follows links where the first answer has one. It reads one page only if the answer, or a second one, says that
    there is no other; else it fails."""

    def __init__(self, node: Api, where: str, probe: Probe) -> None:
        super().__init__(node, where)
        self._probe = probe
        self._links: Linked | None = None

    def update_state(self, response: Any, data: Any = None) -> None:
        if self._links is None:
            found = _link(self._node, response, self._where)
            if found is MISSING or not found:
                self._require_one(response)
                return
            self._links = Linked(self._node, self._where, None)
        self._links.update_state(response, data)
        self.has_next_page = self._links.has_next_page

    def update_request(self, request: Any) -> None:
        if self._links is not None:
            self._links.update_request(request)

    def _require_one(self, response: Any) -> None:
        _require_end(self._node, response, self._where, "no link to a next page")
        rows = _rows(self._node, response, self._where)
        if (
            not rows
            or not isinstance(_inner(response.json(), self._node.records), list)
            or _ended(self._node, response)
        ):
            return
        for asked in ({"page": 2}, {"offset": len(rows)}):
            name = next(iter(asked))
            if name in self._node.params or self._node.method == "POST":
                continue
            further = self._further(asked)
            if further and further != rows:
                got = f"other rows with {name}={asked[name]}"
                raise _cannot_tell(got, f'paging="{name}", or "none" if one page is all', self._where)

    def _further(self, asked: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return the rows of another page; none if the answer is no page, such as a message."""
        page = self._probe(asked)
        with suppress(SourceError):
            if page is not None and isinstance(_inner(page, self._node.records), list):
                return records_at(page, self._node.records, self._where)
        return []


def _inner(page: Any, path: str) -> Any:
    """Return what is at the path of the records. With `[*]` there is a list."""
    return [] if "[*]" in path else value_at(page, path)


def _link(node: Api, response: Any, where: str) -> Any:
    """Return the address of the next page, in the header `Link` or in the answer; `MISSING` if there is none."""
    if header := response.links.get("next", {}).get("url"):
        return header
    for sign in _signs(node, response, where):
        if sign.kind == "link":
            return sign.value
    return MISSING


def _signs(node: Api, response: Any, where: str) -> list[Sign]:
    rows = len(_rows(node, response, where))
    around = response.json() if node.records != "$" else None
    return signs(around, response.headers, rows, {**node.params, **(node.body or {})})


def _ended(node: Api, response: Any) -> bool:
    return any(sign.end for sign in _signs(node, response, ""))


def _require_end(node: Api, response: Any, where: str, got: str) -> None:
    """Raise `SourceError` if an answer says that there are pages beyond it."""
    found = _signs(node, response, where)
    beyond = next((sign for sign in found if sign.end is False), None)
    if beyond is None or (
        beyond.kind in ("size", "total") and any(s.end and s.kind in ("token", "more") for s in found)
    ):
        return
    rows = len(_rows(node, response, where))
    raise _cannot_tell(f"{got}, but {_told(beyond, rows)}", _proposed(beyond), where)


def _told(sign: Sign, rows: int) -> str:
    if sign.kind == "size":
        return f"{rows} rows, as many as {sign.path}={sign.value} asked for"
    return f"{sign.path} = {brief(repr(sign.value))}, and {rows} rows"


def _proposed(sign: Sign) -> str:
    if sign.kind == "link":
        return f'paging=ms.paging.link("{sign.path}")'
    if sign.kind == "token":
        return f'paging=ms.paging.cursor("{sign.path}", param="…")'
    return 'paging="page", paging="offset" or ms.paging.cursor(…); paging="none" if one page is all'


def _cannot_tell(got: str, hint: str, where: str) -> SourceError:
    return SourceError(
        "the API has more pages, and how to read them is not declared",
        where=where,
        got=got,
        expected="paging=… as the API documents it",
        hint=hint,
    )


def _no_link(found: Any, path: str | None, where: str) -> SourceError:
    return SourceError(
        "the place of the next page has no address or token",
        where=where,
        got=brief(repr(found)),
        expected=f"a text or a number at {path!r}",
    )
