"""Secret values that a test plants, and the search for them in whatever leaves the program."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus


def forms(value: str) -> set[str]:
    """Return a value plain, and as URLs, JSON, Python, HTML, base64 and hexadecimal write it."""
    pairs = [value, f"me:{value}", f"Bearer {value}"]
    encoded = [base64.b64encode(pair.encode()).decode().rstrip("=")[:-1] for pair in pairs]
    urls = {quote(value), quote(value, safe=""), quote_plus(value)}
    texts = {value, json.dumps(value)[1:-1], repr(value)[1:-1], html.escape(value)}
    raw = value.encode().hex()
    return {*urls, *texts, *encoded, raw, raw.upper()}


def leaks(shown: str | bytes, values: Iterable[str], fragments: Iterable[str] = ()) -> list[str]:
    """Return every form of every value, and every fragment, that occurs in what was shown."""
    shown = shown.decode("utf-8", "replace") if isinstance(shown, bytes) else shown
    sought = {*fragments, *(form for value in values for form in forms(value))}
    return sorted(form for form in sought if form in shown)
