"""Convert exceptions of databases to Mainstem's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from mainstem.errors import StorageError

_FULL = ("database or disk is full", "No space left on device", "disk I/O error")


def is_full(reason: str) -> bool:
    """Return whether a database reports a full disk. SQLite reports a truncated write as an I/O error."""
    return any(text in reason for text in _FULL)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise exceptions of SQLAlchemy and the file system as `StorageError`."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        if is_full(reason):
            raise StorageError.full(where, reason) from error
        hint = "another process has locked it" if "locked" in reason else "check the database and its URL"
        problem = StorageError("the state cannot be read or written", where=where, got=reason, hint=hint)
        raise problem.passing("locked" in reason) from error
    except (OSError, UnicodeError) as error:  # sqlite3 cannot decode the error message of a damaged schema
        raise StorageError("the state cannot be read or written", where=where, got=str(error)) from error
