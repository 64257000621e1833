"""An LMDB environment as one process sees it: opened once, grown when it is full, followed when others grow it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import lmdb

from mainstem import private
from mainstem.errors import FULL, MainstemError, StorageError

Transaction: TypeAlias = Any
"""An LMDB transaction. Its own types admit memoryviews, which only `buffers=True` would give."""

_open: dict[Path, Environment] = {}
_opening = threading.Lock()
_LITTLE = 1 << 20
"""Bytes; a disk with less is full to LMDB, whose writes are many pages."""
_FULL = [os.strerror(code) for code in (*FULL, errno.EIO)]


class Environment:
    """The databases of one directory.

    LMDB forbids to open a directory twice in a process and to resize the map while a transaction of the process is
    active: so environments are shared, writers of the process hold `writing`, and readers `reading`, briefly.
    """

    def __init__(self, path: Path, map_size: int, sync: bool) -> None:
        private.directory(path)
        private.files(path / "data.mdb", path / "lock.mdb")
        self.path = path
        self.users = 0
        self.ids: dict[tuple[bytes, str], bytes] = {}
        self.writing = threading.Lock()
        self.reading = threading.Lock()
        self.writer: int | None = None
        self.env = lmdb.open(
            str(path),
            map_size=map_size,
            max_dbs=4,
            sync=sync,
            metasync=sync,
            max_spare_txns=4,
            readahead=False,
            mode=private.FILE,
        )
        self.env.reader_check()  # frees the slots of readers that were killed
        databases = (self._database(name) for name in (b"names", b"values", b"events", b"ends"))
        self.names, self.values, self.events, self.ends = databases
        self._file = _file(path)

    @property
    def lost(self) -> bool:
        """Whether the directory was deleted, or another one has its place: what is written here nobody will find."""
        return _file(self.path) != self._file

    def view(self) -> Transaction:
        """A consistent view, to be taken while `reading` is held. Keep it short: readers take turns."""
        try:
            return self.env.begin()
        except lmdb.MapResizedError:
            self.env.set_mapsize(0)
            return self.env.begin()

    def begin(self) -> Transaction:
        """A write transaction; waits for the writers of other processes."""
        while True:
            try:
                return self.env.begin(write=True)
            except lmdb.MapResizedError:
                with self.reading:
                    self.env.set_mapsize(0)

    def _database(self, name: bytes) -> Any:
        while True:
            try:
                return self.env.open_db(name)
            except lmdb.MapResizedError:  # another process has grown it since it was opened
                self.env.set_mapsize(0)

    def grow(self) -> None:
        """Double the map, unless another process has done more. No transaction of this process may be active."""
        with self.reading:
            before = self.env.info()["map_size"]
            self.env.set_mapsize(0)
            if self.env.info()["map_size"] <= before:
                self.env.set_mapsize(before * 2)


def _file(path: Path) -> tuple[int, int] | None:
    """What file the data of an environment is in."""
    try:
        found = (path / "data.mdb").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def acquire(path: Path, map_size: int, sync: bool) -> Environment:
    """The process' environment of a directory, opened by its first user."""
    with _opening:
        if path not in _open or _open[path].lost:
            with explained(str(path)):
                _open[path] = Environment(path, map_size, sync)
        _open[path].users += 1
        return _open[path]


def release(environment: Environment) -> None:
    """Close the environment with its last user. One that is lost ends when nobody reads it any more."""
    with _opening:
        environment.users -= 1
        if environment.users == 0 and _open.get(environment.path) is environment:
            del _open[environment.path]
            environment.env.close()


def entries(transaction: Transaction, db: Any, prefix: bytes, last: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """The keys that begin with `prefix` and come after `last`, and their values."""
    with transaction.cursor(db) as cursor:
        positioned = cursor.set_range(last + b"\0" if last else prefix)
        while positioned and cursor.key().startswith(prefix):
            yield cursor.item()
            positioned = cursor.next()


def drop(transaction: Transaction, db: Any, start: bytes, stop: bytes, limit: int | None = None) -> bool:
    """Delete the keys in `start <= key < stop`, at most `limit` of them; whether any is left."""
    with transaction.cursor(db) as cursor:
        left = cursor.set_range(start) and cursor.key() < stop
        while left and limit != 0:
            limit = None if limit is None else limit - 1
            left = cursor.delete() and cursor.key() < stop
        return bool(left)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise what LMDB raises inside as `StorageError`."""
    try:
        yield
    except MainstemError:
        raise
    except (lmdb.Error, OSError) as error:
        raise explain(error, where) from error


def explain(error: Exception, where: str) -> StorageError:
    """The error for what LMDB raised."""
    if any(text in str(error) for text in _FULL):
        full = StorageError.full(where, str(error))
        # LMDB calls a write that was cut short, as on a full disk, an input/output error.
        if os.strerror(errno.EIO) in str(error) and shutil.disk_usage(where).free > _LITTLE:
            full.what = "the disk is damaged or full"
        return full
    return StorageError("the online store cannot be used", where=where, got=str(error))
