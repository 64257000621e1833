"""LMDB environments shared within a process: opened once, grown when full, and reloaded when other
processes grow them."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeAlias

import lmdb

from mainstem import private
from mainstem.errors import FULL, MainstemError, StorageError
from mainstem.stores.checks import plain, sealed, unsealed

Transaction: TypeAlias = Any
"""An LMDB transaction. Its own types include memoryviews, which LMDB returns only with `buffers=True`."""

_open: dict[Path, Environment] = {}
_opening = threading.Lock()
_CHECKED = b"checked"
"""A database that tells that the records have checksums. It is empty."""
_LITTLE = 1 << 20
"""In bytes. LMDB reports a disk with less free space as full, because it writes many pages at a time."""
_FULL = [os.strerror(code) for code in (*FULL, errno.EIO)]


class Environment:
    """The LMDB databases of one directory.

    LMDB does not allow a process to open a directory twice, or to resize the map while one of its transactions is
    active. Therefore the environment is shared: writers of the process hold `writing`, and readers hold `reading`
    briefly.
    """

    def __init__(self, path: Path, map_size: int, sync: bool) -> None:
        private.directory(path)
        private.files(path / "data.mdb", path / "lock.mdb")
        self.path = path
        self.users = 0
        self._given_up = False
        self.ids: dict[tuple[bytes, str], bytes] = {}
        self.writing = threading.Lock()
        self.reading = threading.Lock()
        self.writer: int | None = None
        self.env = lmdb.open(
            str(path),
            map_size=map_size,
            max_dbs=5,
            sync=sync,
            metasync=sync,
            max_spare_txns=4,
            readahead=False,
            mode=private.FILE,
        )
        _fill(path / "data.mdb", self.env)
        self.env.reader_check()  # frees the slots of killed readers
        databases = (self._database(name) for name in (b"names", b"values", b"events", b"ends"))
        self.names, self.values, self.events, self.ends = databases
        checked = self._checked()
        self.seal = sealed if checked else plain
        self.open = unsealed if checked else plain
        self._place = path / "data.mdb"  # made once: each transaction asks for it twice
        self._file = _file(self._place)

    @property
    def lost(self) -> bool:
        """Whether the directory was deleted or replaced, so that no other process would see a write.

        Also whether LMDB gave it up, because it could not map as much as another process had.
        """
        return self._given_up or _file(self._place) != self._file

    def view(self) -> Transaction:
        """Return a consistent view. The caller must hold `reading`, and must be quick, because readers take turns."""
        try:
            return self.env.begin()
        except lmdb.MapResizedError:
            self._resize(0)
            return self.env.begin()

    def begin(self) -> Transaction:
        """Begin a write transaction. It waits for the writers of other processes."""
        while True:
            try:
                return self.env.begin(write=True)
            except lmdb.MapResizedError:
                with self.reading:
                    self._resize(0)

    def _database(self, name: bytes) -> Any:
        while True:
            try:
                return self.env.open_db(name)
            except lmdb.MapResizedError:  # another process has grown the map
                self._resize(0)

    def _resize(self, size: int) -> None:
        """Map `size` bytes, or with 0 as many as another process has mapped."""
        try:
            self.env.set_mapsize(size)
        except lmdb.Error:
            self._given_up = True
            self.env.close()  # else this process could not open it again
            raise

    def _checked(self) -> bool:
        """Return whether records have checksums: all of a store have, unless it was made before there were any."""
        with self.view() as transaction:
            if transaction.get(_CHECKED) is not None or transaction.stat(self.names)["entries"]:
                return transaction.get(_CHECKED) is not None
        with self.begin() as transaction:
            empty = not transaction.stat(self.names)["entries"]
            if empty:
                self.env.open_db(_CHECKED, txn=transaction)
            return empty or transaction.get(_CHECKED) is not None

    def grow(self) -> None:
        """Double the map, unless another process has grown it further. No transaction of this process may be active.

        Raises `StorageError` if the process may not map as much. Then the map stays as it is.
        """
        with self.reading:
            before = self.env.info()["map_size"]
            self._resize(0)
            if self.env.info()["map_size"] <= before:
                _check_room(before, str(self.path))
                self._resize(before * 2)


def _check_room(more: int, where: str) -> None:
    """Raise `StorageError` unless `more` bytes can be mapped. LMDB tries it after it has given up the old map, and is
    unusable if it fails."""
    try:
        mmap.mmap(-1, more, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ).close()
    except OSError as error:
        raise StorageError(
            "the online store is full and cannot grow",
            where=where,
            got=f"{error.strerror}, for a map of {2 * more:,} bytes",
            expected="addresses for the map; the write was rolled back",
            hint="raise the limit of the process's address space (ulimit -v)",
        ) from error


def _fill(file: Path, env: Any) -> None:
    """Extend a truncated data file to the pages that it should have.

    A read of a page beyond the end of a mapped file kills the process (SIGBUS). A page of zeros is an error of LMDB.
    """
    whole = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    if file.stat().st_size < whole:
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, whole)  # never changes what is there


def _file(place: Path) -> tuple[int, int] | None:
    """Return the identity of a file."""
    try:
        found = place.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def acquire(path: Path, map_size: int, sync: bool) -> Environment:
    """Return the process's environment of a directory. The first caller opens it."""
    with _opening:
        if path not in _open or _open[path].lost:
            with explained(str(path)):
                _open[path] = Environment(path, map_size, sync)
        _open[path].users += 1
        return _open[path]


def release(environment: Environment) -> None:
    """Release the environment. The last user closes it. A lost environment is closed after its last reader."""
    with _opening:
        environment.users -= 1
        if environment.users == 0 and _open.get(environment.path) is environment:
            del _open[environment.path]
            environment.env.close()


def entries(transaction: Transaction, db: Any, prefix: bytes, last: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries with keys that begin with `prefix` and come after `last`."""
    with transaction.cursor(db) as cursor:
        if cursor.set_range(last + b"\0" if last else prefix):
            yield from takewhile(lambda entry: entry[0].startswith(prefix), cursor.iternext())


def drop(transaction: Transaction, db: Any, start: bytes, stop: bytes, limit: int | None = None) -> bool:
    """Delete at most `limit` keys in `start <= key < stop`. Return whether any is left."""
    with transaction.cursor(db) as cursor:
        left = cursor.set_range(start) and cursor.key() < stop
        while left and limit != 0:
            limit = None if limit is None else limit - 1
            left = cursor.delete() and cursor.key() < stop
        return bool(left)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise LMDB's exceptions as `StorageError`."""
    try:
        yield
    except MainstemError:
        raise
    except (lmdb.Error, OSError) as error:
        raise explain(error, where) from error


def explain(error: Exception, where: str) -> StorageError:
    """Return the error for an LMDB exception."""
    if any(text in str(error) for text in _FULL):
        full = StorageError.full(where, str(error))
        # LMDB reports a truncated write, as on a full disk, as an input/output error.
        if os.strerror(errno.EIO) in str(error) and shutil.disk_usage(where).free > _LITTLE:
            full.what = "the disk is damaged or full"
        return full
    return StorageError("the online store cannot be used", where=where, got=str(error))
