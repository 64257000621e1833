"""How objects look in a notebook: one line of text, and a small HTML table. All text is escaped.

The colours are those of the page around it, so that it fits light and dark themes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from mainstem.masking import masked

LONGEST, MOST_ROWS, MOST_COLUMNS = 60, 20, 12

_LINE = "border-bottom:1px solid rgba(128,128,128,.35);padding:2px 10px 2px 0;text-align:left"


def line(kind: str, name: str, *facts: str | None) -> str:
    """Return `<kind name: fact, fact>` on one line."""
    told = ", ".join(_short(fact) for fact in facts if fact)
    return masked(f"<{kind} {_short(name)}{': ' if told else ''}{told}>")


def html(title: str, subtitle: str, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Return a heading and a table of the first rows and columns, as HTML without scripts."""
    names = list(rows[0] if columns is None and rows else columns or ())
    shown = names[:MOST_COLUMNS]
    body = "".join(f"<tr>{''.join(_cell('td', row.get(name)) for name in shown)}</tr>" for row in rows[:MOST_ROWS])
    head = f"<tr>{''.join(_cell('th', name) for name in shown)}</tr>" if shown else ""
    table = f'<table style="border-collapse:collapse;background:none;color:inherit">{head}{body}</table>'
    left = [f"{len(names) - len(shown)} more columns"] if len(names) > len(shown) else []
    left += [f"{len(rows) - MOST_ROWS} more rows"] if len(rows) > MOST_ROWS else []
    more = f'<div style="opacity:.7">{escape(", ".join(left))}</div>' if left else ""
    heading = f"<b>{_text(title)}</b> <span style='opacity:.7'>{_text(subtitle)}</span>"
    return f'<div style="font-size:90%;color:inherit">{heading}{table if shown else ""}{more}</div>'


def said(text: str) -> str:
    """Return a sentence as HTML, not cut."""
    return f'<div style="font-size:90%;color:inherit">{escape(masked(text))}</div>'


def _cell(tag: str, value: Any) -> str:
    return f'<{tag} style="{_LINE}">{_text("" if value is None else value)}</{tag}>'


def _text(value: Any) -> str:
    return escape(masked(_short(str(value))))


def _short(text: str) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
