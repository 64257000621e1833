"""Build states next to the live ones: by one loader at a time, in transactions of bounded size.

A loader writes only while the state's own record names it and the state is not complete. If two loaders load the same
state, the last one to claim it continues and the other fails. A complete state is only added to, so no old data
replaces newer data.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import uuid4

import msgspec

from mainstem.errors import ConflictError
from mainstem.features.online.meta import META, Meta, decode_meta, encode_meta, space_of
from mainstem.ports import Store, Writer

RECORDS_PER_TRANSACTION = 8_192
"""The size of one transaction. A server that others read from is blocked during each."""

_STATES = "views"
"""The space with the complete and unfinished states of each view."""


class Loading:
    """One loader's claim on the state `fingerprint` of a view."""

    def __init__(self, store: Store, view: str, fingerprint: str) -> None:
        self._store, self._view, self._space = store, view, space_of(view, fingerprint)
        self._fingerprint, self._token = fingerprint, uuid4().hex

    def begin(self, *, resume: bool) -> Meta:
        """Claim the state and return its record. Without `resume`, the data of an interrupted load is cleared. So is
        that of a load that did not begin with the first key."""
        with self._store.transaction() as writer:
            meta = decode_meta(writer.get(self._space, META))
            if meta.ready:
                return meta
            resume = resume and meta.loaded > 0
            begun = msgspec.structs.replace(meta if resume else Meta(), loader=self._token)
            writer.put(self._space, META, encode_meta(begun))
            _remember(writer, self._view, {*states(writer, self._view), self._fingerprint})
        if not resume:
            self._clear()
        return begun

    def put(self, records: Sequence[tuple[bytes, bytes]], meta: Meta) -> None:
        """Store records. Their entry in `meta` comes last: without it they are stored again.

        Raises `ConflictError` if another loader has claimed the state.
        """
        for start in range(0, len(records), RECORDS_PER_TRANSACTION):
            with self._store.transaction() as writer:
                self._check(writer)
                writer.put_many(self._space, dict(records[start : start + RECORDS_PER_TRANSACTION]))
        with self._store.transaction() as writer:
            self._check(writer)
            writer.put(self._space, META, encode_meta(msgspec.structs.replace(meta, loader=self._token)))

    def _check(self, writer: Writer) -> None:
        meta = decode_meta(writer.get(self._space, META))
        if meta.ready or meta.loader != self._token:
            what = f"another run brings the view {self._view!r} online"
            raise ConflictError(what, where=self._store.where, hint="mainstem run, when that has ended")

    def _clear(self) -> None:
        left = True
        while left:
            with self._store.transaction() as writer:
                self._check(writer)
                meta = writer.get(self._space, META)
                left = writer.clear(self._space, RECORDS_PER_TRANSACTION)
                if meta is not None:
                    writer.put(self._space, META, meta)


def states(writer: Writer, view: str) -> list[str]:
    """Return the fingerprints of a view's states in the store, complete or not."""
    raw = writer.get(_STATES, view.encode())
    known: list[str] = msgspec.json.decode(raw) if raw else []
    return known


def forget_others(store: Store, view: str, kept: set[str]) -> None:
    """Clear a view's states except some."""
    with store.transaction() as writer:
        known = states(writer, view)
    for fingerprint in set(known) - kept:
        forget(store, space_of(view, fingerprint))
    with store.transaction() as writer:
        _remember(writer, view, (set(states(writer, view)) - set(known)) | kept)


def forget_views(store: Store, kept: Collection[str]) -> int:
    """Clear all states of views other than those. Return the number of states."""
    forgotten = 0
    for view in [name.decode() for page in list(store.scan(_STATES)) for name, _ in page if name.decode() not in kept]:
        with store.transaction() as writer:
            known = states(writer, view)
        for fingerprint in known:
            forget(store, space_of(view, fingerprint))
        with store.transaction() as writer:
            writer.delete(_STATES, view.encode())
        forgotten += len(known)
    return forgotten


def forget(store: Store, space: str) -> None:
    """Clear a state in pieces. The record that marks it complete is cleared first."""
    with store.transaction() as writer:
        writer.delete(space, META)
    left = True
    while left:
        with store.transaction() as writer:
            left = writer.clear(space, RECORDS_PER_TRANSACTION)


def _remember(writer: Writer, view: str, fingerprints: set[str]) -> None:
    writer.put(_STATES, view.encode(), msgspec.json.encode(sorted(fingerprints)))
