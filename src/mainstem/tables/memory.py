"""A cache file of what follows from the texts of tables and the schemas of their inputs.

To parse, type and trace a SQL table again at every start takes some milliseconds. A value is found by the hash of all
that it follows from, and the file has a checksum, so a changed input or a damaged file is only slower.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

T = TypeVar("T")

_ROOMS = ("checks", "engines", "graph", "nodes", "project/kinds", "tables")
"""The packages whose code decides what a table's text means."""


def key_of(*parts: Any) -> str:
    """Return a hash of plain values. Sets and mappings count without order, lists and tuples with it."""
    return blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=16).hexdigest()


class _Entry(msgspec.Struct, array_like=True, frozen=True):
    value: msgspec.Raw
    within: tuple[str, ...] = ()
    """The keys that were asked for while the value was made. They stay as long as the value does."""


class Memory:
    """Values by the hash of what they follow from, the versions of the engine and the libraries, and Mainstem's code.

    Without a file there is no cache. An unreadable file counts as empty; an unwritable file is ignored.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known = {} if file is None else _read(file)
        self._used: dict[str, _Entry] = {}
        self._within: list[str] | None = None
        self._is_changed = False

    def of(self, key: str, form: type[T], make: Callable[[], T]) -> T:
        """Return the value of a key from `key_of`. `make` is called if it is not cached."""
        if self._within is not None:
            self._within.append(key)
        found = self._known.get(key)
        if found is not None:
            with suppress(msgspec.MsgspecError):
                value = msgspec.json.decode(found.value, type=form)
                self._use(key, found)
                return value
        outer, self._within = self._within, []
        try:
            made = make()
        finally:
            within, self._within = tuple(self._within), outer
        if self._file is not None:
            self._known[key] = self._used[key] = _Entry(msgspec.Raw(msgspec.json.encode(made)), within)
            self._is_changed = True
        return made

    def _use(self, key: str, entry: _Entry) -> None:
        self._used[key] = entry
        for each in entry.within:
            if each in self._known and each not in self._used:
                self._use(each, self._known[each])

    def save(self) -> None:
        """Save the values that were used, and no others."""
        if self._file is not None and (self._is_changed or len(self._used) != len(self._known)):
            content = msgspec.json.encode(self._used)
            draft = self._file.with_name(f"{self._file.name}.{uuid4().hex}")
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(_checksum(content) + b"\n" + content)
                draft.replace(self._file)
            self._known, self._is_changed = dict(self._used), False


def _read(file: Path) -> dict[str, _Entry]:
    try:
        checksum, _, content = file.read_bytes().partition(b"\n")
        if checksum == _checksum(content):
            return msgspec.json.decode(content, type=dict[str, _Entry])
    except (OSError, msgspec.MsgspecError):
        pass
    return {}


def _checksum(content: bytes) -> bytes:
    """Return the checksum of a file's content. It is another one for other code and other libraries."""
    hasher = blake2b(content, key=blake2b(repr(_versions()).encode()).digest())
    return hasher.hexdigest().encode()


@cache
def _versions() -> tuple[str, ...]:
    libraries = ("mainstem", "duckdb", "ibis-framework", "sqlglot")
    return (sys.version, *map(version, libraries), _code())


def _code() -> str:
    """Return a hash of Mainstem's code. An installation for development changes without a new version."""
    hasher = blake2b(digest_size=16)
    package = Path(__file__).parents[1]
    with suppress(OSError):
        for file in sorted(file for room in _ROOMS for file in (package / room).rglob("*.py")):
            content = file.read_bytes()
            hasher.update(b"%s %d " % (file.name.encode(), len(content)) + content)
    return hasher.hexdigest()
