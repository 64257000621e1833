"""Which lake this is: an id in the file `lake.json` of its root, beside the place where it was last opened.

A lake that finds itself elsewhere was moved if its old place has it no more, and was copied if both are there. A copy
takes an id of its own: two lakes of one id would be taken for one by a state that both can reach.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import msgspec

from mainstem.errors import StorageError

FILE = "lake.json"


class Identity(msgspec.Struct, frozen=True):
    """A lake's `id`, the directory `place` where it was last opened, and the id of the lake that it is a copy of."""

    id: str
    place: str
    copy_of: str = ""


def identify(root: Path) -> Identity:
    """Return the identity of the lake at `root`; a new lake is given one. Raises `StorageError` for a damaged file."""
    root.mkdir(parents=True, exist_ok=True)
    here = str(root)
    known = _read(root / FILE)
    if known is None:
        return _write(root / FILE, Identity(uuid4().hex, here), new=True)
    if known.place == here:
        return known
    old = Path(known.place)
    if (old / FILE).exists() and not old.samefile(root):
        other = _read(old / FILE)
        if other is not None and other.id == known.id:
            return _write(root / FILE, Identity(uuid4().hex, here, copy_of=known.id))
    return _write(root / FILE, Identity(known.id, here, known.copy_of))


def _read(path: Path) -> Identity | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as problem:
        raise StorageError(
            "the lake's identity cannot be read",
            where=str(path),
            got=str(problem),
            hint="restore the file from a backup; without it a copy cannot be told from the original",
        ) from problem


def _write(path: Path, identity: Identity, *, new: bool = False) -> Identity:
    """Write the file at once, so that no reader sees a part of it. Of two that write a new one, the first wins."""
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    draft.write_bytes(msgspec.json.encode(identity))
    try:
        if not new:
            draft.replace(path)
            return identity
        try:
            os.link(draft, path)
        except FileExistsError:
            return _read(path) or identity
        return identity
    finally:
        draft.unlink(missing_ok=True)
