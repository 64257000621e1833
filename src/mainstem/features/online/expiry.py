"""Delete records that no query can see: records of keys, or of ranges of time, without new events.

New events delete what they supersede (`records`). Other records are swept in transactions of bounded size, each time
the grace has advanced by the length of a window or a ttl. A record is therefore checked only a few times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from mainstem.features.instants import ALWAYS
from mainstem.features.online.meta import META, encode_meta
from mainstem.features.online.view import OnlineView
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.ports import Writer

PAGE = 512
"""The number of records that are checked together. A long record has some ten thousand bytes."""


def expire(online: OnlineView, users: Iterable[OnlineView] = ()) -> int:
    """Delete expired records of a view's state during concurrent reads and writes. Return the number of records.

    Nothing is deleted while a state of `users` (views that use this one) lags behind, because it will read the past.
    """
    meta, deleted = online.meta(), 0
    horizon = min(meta.watermark, micros_of(now())) - online.view.grace
    if meta.watermark == ALWAYS or not online.state.due(meta.swept, horizon):
        return 0
    if any(user.meta().offset < meta.offset for user in users):
        return 0
    for page in online.store.scan(online.space, PAGE):
        if expired := online.state.expired([stored for stored in page if stored[0] != META], horizon):
            with online.store.transaction() as writer:
                deleted += _delete(online, writer, expired, horizon)
    with online.store.transaction() as writer:
        _note(writer, online, swept=horizon)
    return deleted


def _delete(online: OnlineView, writer: Writer, addresses: Sequence[bytes], horizon: int) -> int:
    """Delete those of some records that have not changed since they were checked. Return their number."""
    raws = writer.get_many(online.space, addresses)
    stored = [(address, raw) for address, raw in zip(addresses, raws, strict=True) if raw is not None]
    expired = online.state.expired(stored, horizon)
    for address in expired:
        writer.delete(online.space, address)
    _note(writer, online, complete_from=max(online.meta(writer).complete_from, horizon))
    return len(expired)


def _note(writer: Writer, online: OnlineView, **found: int) -> None:
    if writer.get(online.space, META) is not None:  # it may have been cleared meanwhile
        writer.put(online.space, META, encode_meta(msgspec.structs.replace(online.meta(writer), **found)))
