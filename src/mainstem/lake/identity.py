"""Which lake this is: an id in the file `lake.json` of its root, beside the place where it was last opened.

A lake that finds itself elsewhere was moved if its old place has it no more, and was copied if both are there. A copy
takes an id of its own: two lakes of one id would be taken for one by a state that both can reach.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from uuid import uuid4

import msgspec

from mainstem.errors import StorageError
from mainstem.lake.places.base import Place

FILE = "lake.json"


class Identity(msgspec.Struct, frozen=True):
    """A lake's `id`, the directory or URL `place` where it was last opened, and the id of the lake that it is a copy
    of."""

    id: str
    place: str
    copy_of: str = ""


Proposal = Callable[[str], AbstractContextManager[str]]
"""Proposes an id. Within the context, all that propose one at a time have the same id."""


def identify(place: Place, propose: Proposal = nullcontext) -> Identity:
    """Return the identity of the lake at a place; a new lake is given one, the same by all machines that open it first.

    Raises `StorageError` for a damaged file.
    """
    place.begin()
    known = _read(place)
    if known is None:
        with propose(uuid4().hex) as id:  # another machine may have written it since
            return _read(place) or _write(place, Identity(id, place.where), new=True)
    if known.place == place.where:
        return known
    old = place.beside(known.place)
    other = None if old is None or _same(old.root, place.root) else _read(old)
    if other is not None and other.id == known.id:
        return _write(place, Identity(uuid4().hex, place.where, copy_of=known.id))
    return _write(place, Identity(known.id, place.where, known.copy_of))


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _read(place: Place) -> Identity | None:
    content = place.read(FILE)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Identity)
    except msgspec.DecodeError as problem:
        raise StorageError(
            "the lake's identity cannot be read",
            where=f"{place.where}/{FILE}",
            got=str(problem),
            hint="restore the file from a backup; without it a copy cannot be told from the original",
        ) from problem


def _write(place: Place, identity: Identity, *, new: bool = False) -> Identity:
    """Write the file at once, so that no reader sees a part of it. Of two that write a new one, the first wins."""
    if place.write(FILE, msgspec.json.encode(identity), new=new):
        return _read(place) or identity
    return _read(place) or identity
