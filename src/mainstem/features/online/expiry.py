"""Records that no query can see any more, deleted: those of keys, or of stretches of time, of which nothing new came.

What comes takes away what it supersedes (`records`). The rest is swept, in transactions of bounded size, when the
grace has moved on by as much as a window or a ttl is long: so a record is looked at a few times in its life.
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
"""Records that are looked at together; a long one has some ten thousand bytes."""


def expire(online: OnlineView, users: Iterable[OnlineView] = ()) -> int:
    """Delete what has expired of a view's state while others read it and add to it; the number of records.

    Nothing while one of its `users`, the states of views that use it, lags behind: that one will ask about the past.
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
    """Delete those of some records that nothing new came to since they were looked at; how many that are."""
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
