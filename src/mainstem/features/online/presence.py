"""Check that the online states of a release are in the store, and can be continued."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.features.online.meta import META, decode_meta, space_of
from mainstem.logs.reading import lacks
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.ports import Store


def gone(online: Mapping[str, str], logs: Mapping[str, str], store: Store | None) -> frozenset[str]:
    """Return the views of `online` (view → fingerprint of its state) whose complete state is not in the store.

    A state also counts as missing if its log in `logs` no longer has the events that it lacks, if it is complete only
    from a future time on, because the clock was wrong, or with a log in `logs`, if it must be loaded anew. Without a
    store all are missing.
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
        or (name in logs and meta.lacking)
        or (name in logs and lacks(store, logs[name], meta.offset))
    )
