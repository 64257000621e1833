"""A crawl as its own program: it reads a job as JSON and writes rows as JSON.

Scrapy's reactor can run only once in a process, but Mainstem collects repeatedly. Therefore each crawl has its own
process. The program does not import Mainstem, so it starts quickly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

SETTINGS = {
    "ROBOTSTXT_OBEY": True,
    "AUTOTHROTTLE_ENABLED": True,
    "AUTOTHROTTLE_START_DELAY": 0.2,
    "DOWNLOAD_DELAY": 0,
    "RETRY_TIMES": 3,
    "LOG_ENABLED": False,
    "TELNETCONSOLE_ENABLED": False,
    "COOKIES_ENABLED": False,
}


def crawl(job: dict[str, Any]) -> dict[str, Any]:
    """Crawl one page. Return `{"rows": […]}`, or `{"status": 404}`, or `{"error": "…"}` without an answer."""
    import scrapy
    from scrapy.crawler import CrawlerProcess

    found: dict[str, Any] = {"error": "the crawl ended without an answer"}

    class Page(scrapy.Spider):
        name = "page"

        async def start(self) -> AsyncIterator[Any]:
            yield scrapy.Request(job["url"], callback=self.parse, errback=self.failed)

        def parse(self, response: Any) -> None:
            found.clear()
            found["rows"] = list(_rows(response, job["rows"], job["fields"]))
            found["elements"] = len(response.css(job["rows"]))

        def failed(self, failure: Any) -> None:
            found.clear()
            response = getattr(failure.value, "response", None)
            if response is not None:
                found["status"] = response.status
            else:
                found["error"] = str(failure.value) or type(failure.value).__name__

    settings = {**SETTINGS, "USER_AGENT": job["agent"], "DOWNLOAD_TIMEOUT": job["timeout"]}
    process = CrawlerProcess(settings, install_root_handler=False)
    process.crawl(Page)
    process.start()
    return found


def _rows(response: Any, rows: str, fields: dict[str, str]) -> Iterator[dict[str, str | None]]:
    """Yield the rows with at least one field. The heading of a table has none."""
    for element in response.css(rows):
        row = {name: _text(element, selector) for name, selector in fields.items()}
        if any(value is not None for value in row.values()):
            yield row


def _text(element: Any, selector: str) -> str | None:
    """Return an element's whole text with single spaces, or the result of a selector such as `a::attr(href)`."""
    found = element.css(selector)
    value = found.get() if "::" in selector else found.xpath("string()").get()
    return None if value is None else " ".join(value.split()) or None


if __name__ == "__main__":
    json.dump(crawl(json.load(sys.stdin)), sys.stdout)
