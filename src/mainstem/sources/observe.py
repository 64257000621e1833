"""Whether a source may have something new, told in milliseconds and without a heavy library.

The text that `observe` gives is kept with the snapshot; a plan collects the source again when it differs. An
unreachable source gives a text too, so that the collect step runs and says clearly what is wrong.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mainstem.errors import MainstemError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.sources import Api, Database, Files, Source, Web
from mainstem.sources.http import get_json, validators, with_params
from mainstem.sources.listing import listing, stamp
from mainstem.sources.progress import last_of, rows_at_last
from mainstem.sources.records import records_at
from mainstem.sources.secrets import expand, expand_all

TIMEOUT = 5.0
"""Seconds a server may take to say whether it has something new."""
UP_TO_DATE = "nothing beyond the cursor"
UNREACHABLE = "unreachable"


def observe(source: Source, root: Path, cursor: str | None) -> str | None:
    """A text that changes when `source` may have new data; None where only reading it tells.

    `cursor` is that of its last snapshot.
    """
    try:
        return _observe(source, root, cursor)
    except (MainstemError, OSError, ValueError):
        return UNREACHABLE


def settled(source: Source, root: Path) -> str | None:
    """What `observe` will give if nothing happens after a collection that begins now; ask before it begins."""
    if isinstance(source, Api) and source.cursor:
        return UP_TO_DATE
    seen = observe(source, root, None)
    return None if seen == UNREACHABLE else seen


def _observe(source: Source, root: Path, cursor: str | None) -> str | None:
    match source:
        case Files():
            return digest(canonical(listing(root, source.path)))
        case Database(url=url) if url.startswith("sqlite:///"):
            return _sqlite(root / expand(url).removeprefix("sqlite:///"))
        case Api(cursor=str(), cursor_param=str()) if cursor is not None:
            return _api(source, cursor)
        case Api(paging="none", cursor=None):
            url = with_params(expand(source.url), expand_all(source.params))
            return validators(url, expand_all(source.headers), TIMEOUT)
        case Web():
            return validators(expand(source.url), {}, TIMEOUT)
    # Later pages may change under the same first page; other databases do not say when they changed.
    return None


def _sqlite(file: Path) -> str:
    wal = file.with_name(f"{file.name}-wal")
    return UNREACHABLE if stamp(file) is None else digest(repr(stamp(file)), repr(stamp(wal)))


def _api(source: Api, cursor: str) -> str | None:
    """Ask for what is beyond the cursor."""
    last = last_of(cursor)
    params = {**expand_all(source.params), **({} if last is None else {str(source.cursor_param): last})}
    page = get_json(with_params(expand(source.url), params), expand_all(source.headers), TIMEOUT, template=source.url)
    rows = records_at(page, source.records, source.url)
    order = [_order(row.get(str(source.cursor)), last) for row in rows]
    if any(o > 0 for o in order) and all(o >= 0 for o in order):
        return f"more: {digest(canonical(rows))}"
    if not rows or (source.paging == "none" and order.count(0) == len(rows) <= rows_at_last(cursor)):
        return UP_TO_DATE
    return None  # rows that are stored came again, so that new ones may stand on a later page


def _order(value: Any, last: Any) -> int:
    """−1, 0 or 1: before, at or beyond the last value."""
    if last is None:
        return 1
    if value is None:
        return 0
    a, b = _comparable(value), _comparable(last)
    if type(a) is not type(b):
        a, b = str(value), str(last)
    return int(a > b) - int(a < b)


def _comparable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return value
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
