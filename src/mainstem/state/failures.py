"""What databases raise, as Mainstem's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from mainstem.errors import StorageError

_FULL = ("database or disk is full", "No space left on device", "disk I/O error")


def is_full(reason: str) -> bool:
    """Whether a database says that its disk is full; SQLite calls a write that was cut short an I/O error."""
    return any(text in reason for text in _FULL)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise what SQLAlchemy and the file system raise inside as `StorageError`."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip()
        if is_full(reason):
            raise StorageError.full(where, reason) from error
        hint = "another process holds it" if "locked" in reason else "does the database run, and is the URL right?"
        raise StorageError("the state cannot be read or written", where=where, got=reason, hint=hint) from error
    except OSError as error:
        raise StorageError("the state cannot be read or written", where=where, got=str(error)) from error
