"""Whether the online states that a release refers to are in the store, and can be gone on with."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.features.online.meta import META, decode_meta, space_of
from mainstem.logs.reading import lacks
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.ports import Store


def gone(online: Mapping[str, str], logs: Mapping[str, str], store: Store | None) -> frozenset[str]:
    """The views of `online` (with the fingerprint of each one's state) that are not in the store as a whole.

    Nor is one that lacks events which its log, of those in `logs`, has forgotten, nor one that is complete only from a
    time on that is to come: it was kept by a clock that was wrong. Without a store all are gone.
    """
    if store is None or not online:
        return frozenset(online)
    found = store.read_many([(space_of(name, fingerprint), [META]) for name, fingerprint in online.items()])
    metas = {name: decode_meta(raw) for name, (raw,) in zip(online, found, strict=True)}
    return frozenset(
        name
        for name, meta in metas.items()
        if not meta.ready
        or meta.complete_from > micros_of(now())
        or (name in logs and lacks(store, logs[name], meta.offset))
    )
