"""What an answer of an API says of further pages: links, tokens, totals. Pure; `paging="auto"` decides by it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

LINKS = frozenset(
    {"next", "nexturl", "nexturi", "nextlink", "nextpage", "nextpageurl", "nextpagelink", "odatanextlink"}
)
TOKENS = frozenset(
    {
        *(
            "nextcursor",
            "nexttoken",
            "nextpagetoken",
            "nextpageid",
            "nextpage",
            "next",
            "nextoffset",
            "nextid",
            "after",
        ),
        *("endcursor", "continuation", "continuationtoken", "nextcontinuationtoken", "pagetoken", "scrollid"),
    }
)
MORE = frozenset({"hasmore", "hasnext", "hasnextpage", "more", "moreavailable", "morerecords", "moreresults"})
DONE = frozenset({"done", "islast", "lastpage", "isfinished", "eof"})
TOTALS = frozenset(
    {
        *("total", "count", "totalcount", "totalitems", "totalresults", "totalrows", "totalrecords", "totalelements"),
        *("totalhits", "recordstotal", "totalsize", "odatacount"),
    }
)
PAGES = frozenset({"totalpages", "pagecount", "numpages", "pages", "lastpage", "pagetotal"})
SIZES = frozenset(
    {
        *("limit", "size", "perpage", "pagesize", "count", "top", "maxresults", "rows", "first", "num", "results"),
        *("itemsperpage", "numrows", "take", "pagelimit", "limitnum"),
    }
)
_HEADERS = {
    "xtotalcount": "total",
    "xtotal": "total",
    "xtotalpages": "pages",
    "xnextpage": "token",
    "xwptotal": "total",
}
_DEPTH = 4


@dataclass(frozen=True)
class Sign:
    """A field or a header that speaks of pages. `end` says that there is none beyond; None if it does not tell."""

    kind: Literal["link", "token", "more", "total", "pages", "size"]
    path: str
    value: Any
    end: bool | None


def signs(page: Any, headers: Mapping[str, str], rows: int, params: Mapping[str, Any]) -> list[Sign]:
    """Return what the first answer says, a link first. `rows` is the number of its records."""
    found = [sign for path, value in _fields(page) if (sign := _read(path, value, rows)) is not None]
    for name, value in headers.items():
        kind = _HEADERS.get(_bare(name))
        if kind == "token":
            found.append(Sign("token", name, value, not value.strip()))
        elif kind and value.strip().isdecimal():
            found.append(_counted(kind, name, int(value), rows))
    for name, value in params.items():
        if rows and _bare(name) in SIZES and str(value) == str(rows):
            found.append(Sign("size", name, value, False))
    order = ("link", "token", "more", "total", "pages", "size")
    return sorted(found, key=lambda sign: (order.index(sign.kind), sign.path.count(".")))


def is_link(value: Any) -> bool:
    """Return whether a value is an address: absolute, of the same server, or only a query."""
    return isinstance(value, str) and value.startswith(("http://", "https://", "/", "?"))


def linked(value: Any) -> Any:
    """Return the address in an object such as `{"href": "…"}`, or the value."""
    return value.get("href", value.get("url", value)) if isinstance(value, dict) else value


def _read(path: str, value: Any, rows: int) -> Sign | None:
    name = _bare(path.rsplit(".", 1)[-1] if "odata" not in path.lower() else path)
    address = linked(value)
    if name in LINKS and is_link(address):
        at = "" if address is value else ".href" if "href" in value else ".url"
        return Sign("link", path + at, address, False)
    if name in LINKS | TOKENS and (value is None or value is False or value == ""):
        return Sign("token", path, value, True)
    if name in TOKENS and isinstance(value, (str, int)) and not isinstance(value, bool):
        return Sign("token", path, value, False)
    if isinstance(value, bool):
        return Sign("more", path, value, not value if name in MORE else value) if name in MORE | DONE else None
    if isinstance(value, int) and name in PAGES:
        return _counted("pages", path, value, rows)
    return _counted("total", path, value, rows) if isinstance(value, int) and name in TOTALS else None


def _counted(kind: Any, path: str, value: int, rows: int) -> Sign:
    end = value <= (1 if kind == "pages" else rows)
    is_own = end and _bare(path.rsplit(".", 1)[-1]) == "count"  # it may count the rows of this answer
    return Sign(kind, path, value, None if is_own else end)


def _fields(page: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the fields of the objects around the records, with their paths."""
    if not isinstance(page, dict) or depth > _DEPTH:
        return
    for name, value in page.items():
        yield path + str(name), value
        yield from _fields(value, f"{path}{name}.", depth + 1)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
