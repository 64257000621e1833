"""How an API gives its rows in pages: `ms.paging`."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.nodes.base import refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import integer, optional, text

SIZE = 1_000
"""Rows that are asked for in a request, if paging is by offset."""


@dataclass(frozen=True)
class Link:
    """The next page is at a link: at a JSON path of the answer, or in its header `Link`."""

    path: str | None = None


@dataclass(frozen=True)
class Cursor:
    """The answer has a token for the next page, at a JSON path or in a header. It is sent as `param`."""

    path: str | None
    param: str
    header: str | None = None


@dataclass(frozen=True)
class Offset:
    """The request says how many rows to skip. The next one skips the rows that were really given."""

    param: str = "offset"
    size: int | None = SIZE
    size_param: str = "limit"


@dataclass(frozen=True)
class Page:
    """The request has the number of a page. The first page without rows is behind the last one."""

    param: str = "page"
    first: int = 1
    size: int | None = None
    size_param: str = "per_page"


Paging = Link | Cursor | Offset | Page
"""A kind of paging with its settings."""

NAMED: dict[str, Paging] = {"link": Link(), "offset": Offset(), "page": Page()}
"""The kinds of paging that have a short name: with the settings that most APIs have."""


def settled(paging: str | Paging) -> Paging | None:
    """Return a kind of paging with its settings; None for `auto` and `none`."""
    return NAMED.get(paging) if isinstance(paging, str) else paging


@declared(path=optional(text))
def link(path: str | None = None) -> Link:
    """Follow links: `path` is the JSON path of the next page's URL, as in `"links.next"`. Without it the header `Link`
    has it, or the field of the answer that is named like one."""
    return Link(path)


@declared(path=optional(text), param=text, header=optional(text))
def cursor(path: str | None = None, *, param: str, header: str | None = None) -> Cursor:
    """Send the token that an answer has at a JSON path, or in a `header`, as `param` of the next request.

    Raises `DefinitionError` unless there is either a path or a header.
    """
    if (path is None) == (header is None):
        expected = 'ms.paging.cursor("meta.next", param="after"), or header="X-Next" instead of the path'
        raise refused("the token is at a path or in a header", [path, header], expected)
    return Cursor(path, param, header)


@declared(param=text, size=optional(integer(1)), size_param=text)
def offset(param: str = "offset", *, size: int | None = SIZE, size_param: str = "limit") -> Offset:
    """Send the number of rows to skip as `param`, and the number of rows to give as `size_param`. `size=None` does not
    send the latter."""
    return Offset(param, size, size_param)


@declared(param=text, first=integer(0), size=optional(integer(1)), size_param=text)
def page(param: str = "page", *, first: int = 1, size: int | None = None, size_param: str = "per_page") -> Page:
    """Send the number of the page as `param`, from `first` on, and with `size` the number of rows as `size_param`."""
    return Page(param, first, size, size_param)
