"""The selection of rows from a web page as its own program: it reads a job as JSON and writes rows as JSON.

A page may be hostile to its parser. In its own process, the parser can be stopped, and its crash ends no run. The
program does not import Mainstem, so it starts quickly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urldefrag, urljoin


def select(job: dict[str, Any]) -> dict[str, Any]:
    """Return `{"rows": […], "elements": n, "links": {…}}`: the rows of a page, the number of elements that `rows`
    matches, and the addresses that each selector of `links` finds."""
    from parsel import Selector
    from w3lib.html import get_base_url

    page = Selector(text=job["page"], base_url=job["url"], type="html")
    elements = _found(page, job["rows"])
    base = get_base_url(job["page"], job["url"])
    links = {name: list(_links(page, selector, base)) for name, selector in job.get("links", {}).items()}
    return {"rows": list(_rows(elements, job["fields"])), "elements": len(elements), "links": links}


def _found(element: Any, selector: str) -> Any:
    """Return what a selector matches: XPath begins with a slash, a dot and a slash, or a parenthesis."""
    return element.xpath(selector) if selector.startswith(("/", "./", "../", "(")) else element.css(selector)


def _links(page: Any, selector: str, base: str) -> Iterator[str]:
    """Yield addresses: the texts that a selector gives, or the `href` of its elements."""
    for found in _found(page, selector):
        link = found.attrib.get("href") if hasattr(found.root, "tag") else found.get()
        if link and link.strip():
            yield urldefrag(urljoin(base, link.strip()))[0]


def _rows(elements: Any, fields: dict[str, str]) -> Iterator[dict[str, str | None]]:
    """Return the rows with at least one field. The heading of a table has none."""
    for element in elements:
        row = {name: _text(element, selector) for name, selector in fields.items()}
        if any(value is not None for value in row.values()):
            yield row


def _text(element: Any, selector: str) -> str | None:
    """Return an element's whole text with single spaces, or the result of a selector such as `a::attr(href)`."""
    found = _found(element, selector)
    is_text = "::" in selector or (found and not hasattr(found[0].root, "tag"))
    value = found.get() if is_text else found.xpath("string()").get()
    return None if value is None else " ".join(value.split()) or None


if __name__ == "__main__":
    json.dump(select(json.load(sys.stdin)), sys.stdout)
