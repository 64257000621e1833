"""States that are being built: by one loader at a time, beside those that are live, in transactions of bounded size.

A loader writes only while the state's own record names it and is not whole yet. So two that load the same state do not
mix what they write: whoever claims it last goes on, and the other fails. And what has been whole once is only ever
added to, so nothing old is put over what is newer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import uuid4

import msgspec

from mainstem.errors import ConflictError
from mainstem.features.online.meta import META, Meta, decode_meta, encode_meta, space_of
from mainstem.ports import Store, Writer

RECORDS_PER_TRANSACTION = 8_192
"""A server that others read from is held up by each transaction."""

_STATES = "views"
"""The space that says by view which states there are, or were begun."""


class Loading:
    """One loader's claim on the state `fingerprint` of a view."""

    def __init__(self, store: Store, view: str, fingerprint: str) -> None:
        self._store, self._view, self._space = store, view, space_of(view, fingerprint)
        self._fingerprint, self._token = fingerprint, uuid4().hex

    def begin(self, *, resume: bool) -> Meta:
        """Claim the state; what there is of it. Without `resume` what an interrupted load left behind is cleared."""
        with self._store.transaction() as writer:
            meta = decode_meta(writer.get(self._space, META))
            if meta.ready:
                return meta
            begun = msgspec.structs.replace(meta if resume else Meta(), loader=self._token)
            writer.put(self._space, META, encode_meta(begun))
            _remember(writer, self._view, {*states(writer, self._view), self._fingerprint})
        if not resume:
            self._clear()
        return begun

    def put(self, records: Sequence[tuple[bytes, bytes]], meta: Meta) -> None:
        """Store records; what `meta` says of them comes last, so that they are stored again if it does not come.

        Raises `ConflictError` if another loader has claimed the state.
        """
        for start in range(0, len(records), RECORDS_PER_TRANSACTION):
            with self._store.transaction() as writer:
                self._check(writer)
                for address, value in records[start : start + RECORDS_PER_TRANSACTION]:
                    writer.put(self._space, address, value)
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
    """The fingerprints of a view's states that are in the store, whole or not."""
    raw = writer.get(_STATES, view.encode())
    known: list[str] = msgspec.json.decode(raw) if raw else []
    return known


def forget_others(store: Store, view: str, kept: set[str]) -> None:
    """Clear a view's states but for some."""
    with store.transaction() as writer:
        known = states(writer, view)
    for fingerprint in set(known) - kept:
        forget(store, space_of(view, fingerprint))
    with store.transaction() as writer:
        _remember(writer, view, (set(states(writer, view)) - set(known)) | kept)


def forget_views(store: Store, kept: Collection[str]) -> int:
    """Clear all states of other views than those; the number of states."""
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
    """Clear a state, piece by piece: first what says that it is whole."""
    with store.transaction() as writer:
        writer.delete(space, META)
    left = True
    while left:
        with store.transaction() as writer:
            left = writer.clear(space, RECORDS_PER_TRANSACTION)


def _remember(writer: Writer, view: str, fingerprints: set[str]) -> None:
    writer.put(_STATES, view.encode(), msgspec.json.encode(sorted(fingerprints)))
