"""One run at a time on a branch: a lease that ends with the process that holds it.

Beside a SQLite file it is a lock on a file; in PostgreSQL it is an advisory lock of a session. Both say who holds them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sqlalchemy import text

from mainstem import private
from mainstem.errors import ConflictError, StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_NAMED = 63
"""Characters of a session's name in PostgreSQL."""


@contextmanager
def of_file(path: Path, branch: str, who: str) -> Iterator[None]:
    """Hold the lock on the file at `path`. Raises `ConflictError` while another process or thread holds it, and
    `StorageError` if the file cannot be made."""
    try:
        if not path.parent.exists():
            private.directory(path.parent)
        private.file(path)
        descriptor = os.open(path, os.O_RDWR)
    except OSError as error:
        raise StorageError.of(error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _refuse(branch, os.read(descriptor, 1_000).decode(errors="replace"))
        with suppress(OSError):  # on a full disk the lock holds, though it does not say who holds it
            os.ftruncate(descriptor, 0)
            os.write(descriptor, who.encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def of_server(engine: Engine, branch: str, who: str) -> Iterator[None]:
    """Hold the advisory lock of a branch in PostgreSQL. Raises `ConflictError` while another session holds it, and
    `SQLAlchemyError`.

    The session is not returned to the pool: the lock ends with it.
    """
    key = {"branch": f"mainstem run on {branch}"}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()
        connection.execute(text("SELECT set_config('application_name', :who, false)"), {"who": who[:_NAMED]})
        if not connection.execute(text("SELECT pg_try_advisory_lock(hashtext(:branch))"), key).scalar():
            holder = text(
                "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
                "WHERE locktype = 'advisory' AND granted AND objid = hashtext(:branch)::oid LIMIT 1"
            )
            _refuse(branch, connection.execute(holder, key).scalar() or "")
        yield


def _refuse(branch: str, who: str) -> NoReturn:
    raise ConflictError(
        f"another run is in progress on branch {branch!r}",
        got=who or None,
        expected="one run at a time on a branch",
        hint="wait until it ends, or run on another branch: --branch NAME",
    )
