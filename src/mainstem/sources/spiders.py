"""A spider of the user's own: a function that reads a page, and yields its rows and the links to further pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urldefrag, urljoin

from mainstem.errors import MainstemError, SourceError
from mainstem.masking import harmless, masked
from mainstem.nodes.base import shown
from mainstem.nodes.web import Spider


class Page:
    """A page as a spider sees it: its `url`, and selectors of parsel."""

    def __init__(self, url: str, text: str) -> None:
        from parsel import Selector

        self.url = url
        self._selector = Selector(text=text, base_url=url, type="html")

    def css(self, selector: str) -> Any:
        """Return what a CSS selector matches, as parsel does."""
        return self._selector.css(selector)

    def xpath(self, selector: str) -> Any:
        """Return what an XPath matches, as parsel does."""
        return self._selector.xpath(selector)


def spun(spider: Spider, url: str, text: str, where: str) -> dict[str, Any]:
    """Return the rows of a page and the links to be read next, as `selecting.select` does.

    Raises `SourceError` for a spider that raises, and for what is neither a row of texts nor a link.
    """
    from w3lib.html import get_base_url

    base, rows, links = get_base_url(text, url), list[dict[str, Any]](), list[str]()
    try:
        for found in spider(Page(url, text)):
            if isinstance(found, str):
                links.append(urldefrag(urljoin(base, found.strip()))[0])
            else:
                rows.append(_row(found, where))
    except MainstemError:
        raise
    except Exception as error:
        raise SourceError(
            f"the spider {spider.__qualname__!r} failed",
            where=f"{where}, {masked(url)}",
            got=masked(f"{type(error).__name__}: {str(error).strip()}"),
            expected="rows and links",
        ) from harmless(error)
    return {"rows": rows, "elements": len(rows), "links": {"next": links}}


def _row(found: Any, where: str) -> dict[str, Any]:
    """Return a row. Raises `SourceError` if it is not a mapping from names to texts or None."""
    if isinstance(found, Mapping) and all(
        isinstance(name, str) and (value is None or isinstance(value, str)) for name, value in found.items()
    ):
        return dict(found)
    expected = "a mapping from columns to texts or None, or the text of a link"
    raise SourceError(
        "the spider yielded an object that is not a row", where=where, got=shown(found), expected=expected
    )
