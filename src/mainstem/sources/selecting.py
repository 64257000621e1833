"""The selection of rows from a web page as its own program: it reads a job as JSON and writes rows as JSON.

A page may be hostile to its parser. In its own process, the parser can be stopped, and its crash ends no run. The
program does not import Mainstem, so it starts quickly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any


def select(job: dict[str, Any]) -> dict[str, Any]:
    """Return `{"rows": […], "elements": n}`: the rows of a page, and the number of elements that `rows` matches."""
    from parsel import Selector

    page = Selector(text=job["page"], base_url=job["url"], type="html")
    elements = page.css(job["rows"])
    return {"rows": list(_rows(elements, job["fields"])), "elements": len(elements)}


def _rows(elements: Any, fields: dict[str, str]) -> Iterator[dict[str, str | None]]:
    """Return the rows with at least one field. The heading of a table has none."""
    for element in elements:
        row = {name: _text(element, selector) for name, selector in fields.items()}
        if any(value is not None for value in row.values()):
            yield row


def _text(element: Any, selector: str) -> str | None:
    """Return an element's whole text with single spaces, or the result of a selector such as `a::attr(href)`."""
    found = element.css(selector)
    value = found.get() if "::" in selector else found.xpath("string()").get()
    return None if value is None else " ".join(value.split()) or None


if __name__ == "__main__":
    json.dump(select(json.load(sys.stdin)), sys.stdout)
