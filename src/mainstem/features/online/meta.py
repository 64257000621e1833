"""The record of a view's online state as a whole, next to the records of the keys."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mainstem.errors import StorageError
from mainstem.features.instants import ALWAYS
from mainstem.ports import OnlineStore

META = b""
"""The key of a space's own record. Encoded keys of entities are never empty."""


class Meta(msgspec.Struct, frozen=True):
    """The properties of a view's state as a whole.

    `watermark` is the usable time that the state has reached. `complete_from` is the earliest time of a query that is
    answered exactly. `offset` is the first offset of the stream's log that is not in the state. Records that no query
    from `swept` on can see were swept. Until a load is `ready`, `loaded` counts its keys so far, and `loader`
    identifies the only writer. `leader` is the key with the newest event and `newest` its usable time. `second` is the
    usable time of the newest event of any other key. A `lacking` state left out events that looked up a time which the
    used view had expired: it is exact from `complete_from` on, and a run loads it anew. `made_of` is the snapshot of
    the only relation that the state was loaded from: its physical table, id and metadata file.
    """

    watermark: int = ALWAYS
    complete_from: int = -(2**63)
    offset: int = 0
    loaded: int = 0
    ready: bool = False
    loader: str = ""
    swept: int = -(2**63)
    leader: bytes = b""
    newest: int = ALWAYS
    second: int = ALWAYS
    lacking: bool = False
    made_of: tuple[str, int, str] | None = None

    def reaching(self, newest: Mapping[bytes, int], clock: int) -> Meta:
        """Return the record after events, given the usable time of the newest of each key, or of the newest two keys.

        The watermark is never beyond the clock, and where there are several keys, one alone does not move it: an event
        that is dated wrongly would expire the events of all others.
        """
        known = {self.leader: self.newest} if self.leader else {}
        for key, time in newest.items():
            known[key] = max(time, known.get(key, time))
        leader = max(known, key=known.__getitem__, default=b"")
        others = max((time for key, time in known.items() if key != leader), default=ALWAYS)
        unled = not self.leader and self.watermark != ALWAYS  # a state of before leaders were kept
        second = max(self.watermark if unled else self.second, others)
        reached = second if second != ALWAYS else known.get(leader, ALWAYS)
        watermark = min(max(self.watermark, reached), clock)
        return msgspec.structs.replace(
            self, watermark=watermark, leader=leader, newest=known.get(leader, ALWAYS), second=second
        )


NEVER = 253_402_300_799_999_999
"""The last instant of the calendar (µs): a state that is complete from then on answers no query."""

_decode = msgspec.msgpack.Decoder(Meta).decode


def encode_meta(meta: Meta) -> bytes:
    """Return a state's own record as bytes."""
    return msgspec.msgpack.encode(meta)


def decode_meta(raw: bytes | None) -> Meta:
    """Return the record of some bytes; for None, the record of a new state."""
    return Meta() if raw is None else _decode(raw)


def space_of(view: str, fingerprint: str) -> str:
    """Return the space of the online store that holds a view's state."""
    return f"view/{view}/{fingerprint}"


def gone(view: str, store: OnlineStore) -> StorageError:
    """Return the error for a state that a release refers to and that is missing in the store, or incomplete."""
    return StorageError(
        f"the online state of {view!r} is gone from the store",
        where=store.where,
        expected="the state that the release refers to",
        hint="mainstem run rebuilds it from the lake",
    )
