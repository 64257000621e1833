"""Convert failures of the lake to Mainstem's errors."""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mainstem.errors import FULL, ConflictError, MainstemError, SnapshotGone, StorageError

T = TypeVar("T")

NAMESPACES = "`mainstem` and `main`"
_ATTEMPTS = 12
_LONGEST_WAIT = 1.0  # seconds
_DAMAGED = (ValueError, EOFError, LookupError, TypeError, AssertionError, ArithmeticError, zlib.error)
"""What PyArrow and PyIceberg raise for damaged files. PyIceberg reads manifests without verifying them."""

_BUSY = (
    "SLOW_DOWN",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "REQUEST_TIMEOUT",
    " 503",
    " 500",
)
"""What the messages of an object store have that is overloaded, or cannot be reached."""


class CatalogAway(Exception):
    """The server of a REST catalog cannot be reached, or asks for patience."""


def retried(attempt: Callable[[], T]) -> T:
    """Call `attempt()`, and retry after a short random wait if another writer won, and after longer ones while the
    catalog's server is away (half a minute in all). The last failure is raised.

    An attempt may have succeeded although its answer was lost, so it must be such that a second one does no harm.
    """
    from pyiceberg.exceptions import CommitFailedException, RESTError, TableAlreadyExistsError
    from sqlalchemy.exc import OperationalError

    passing = (CommitFailedException, TableAlreadyExistsError, OperationalError, ValueError, CatalogAway, RESTError)
    for tried in range(_ATTEMPTS):
        try:
            return attempt()
        except passing as error:
            if tried == _ATTEMPTS - 1 or not _stale(error):
                raise
            lost = isinstance(error, CatalogAway) or (isinstance(error, OperationalError) and "connect" in str(error))
        time.sleep(random.uniform(0.5, 1) * min(5.0, 0.2 * 2**tried) if lost else _pause(tried))
    raise AssertionError("unreachable")


def _pause(tried: int) -> float:
    return random.uniform(0, min(_LONGEST_WAIT, 0.01 * 2**tried))


def _stale(error: Exception) -> bool:
    from pyiceberg.exceptions import CommitStateUnknownException, RESTError, ServerError

    if isinstance(error, ServerError | CommitStateUnknownException):
        return True
    # A catalog applies a change to newer metadata, so the change's sequence number is too old.
    return "sequence number" in str(error) if isinstance(error, ValueError | RESTError) else not _full(error)


def _full(error: Exception) -> bool:
    """Return whether the catalog's SQLite found the disk full."""
    return any(text in str(error) for text in ("disk is full", "disk I/O error"))


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Raise exceptions of PyIceberg, its catalog and the file system as `StorageError`."""
    from pyiceberg.exceptions import (
        CommitFailedException,
        NoSuchTableError,
        ResolveError,
        RESTError,
        TableAlreadyExistsError,
    )
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MainstemError:
        raise
    except (CommitFailedException, TableAlreadyExistsError) as error:
        hint = "run again"
        problem = ConflictError("other writers committed first on every attempt", where=where, hint=hint)
        raise problem.passing() from error
    except NoSuchTableError as error:
        raise SnapshotGone("the table does not exist in the lake", where=where, got=str(error)) from error
    except FileNotFoundError as error:
        hint = "garbage collection deleted it; use a later snapshot"
        raise StorageError("a file of the lake is missing", where=where, got=str(error), hint=hint) from error
    except OSError as error:
        if error.errno in FULL:
            raise StorageError.full(where, os.strerror(error.errno)) from error
        got = str(error)
        if any(sign in got for sign in _BUSY):
            hint = "the object store was asked several times; try again later, or with fewer workers"
            raise StorageError("the object store is busy", where=where, got=got, hint=hint).passing() from error
        raise StorageError("the lake cannot be read or written", where=where, got=got) from error
    except ModuleNotFoundError as error:
        hint = "install the driver that the URL of `catalog` names"
        raise StorageError("the lake's catalog cannot be used", where=where, got=str(error), hint=hint) from error
    except SQLAlchemyError as error:
        got = str(error).splitlines()[0]
        if _full(error):
            raise StorageError.full(where, got) from error
        locked = "locked" in got or "connection" in got
        raise StorageError("the lake's catalog cannot be used", where=where, got=got).passing(locked) from error
    except CatalogAway as error:
        hint = "see that the server of `catalog` runs, and that this machine reaches it"
        raise StorageError("the lake's catalog is away", where=where, got=str(error), hint=hint).passing() from error
    except RESTError as error:
        raise _refused(error, where) from error
    except (*_DAMAGED, ResolveError) as error:
        got = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)
        raise StorageError("the lake is damaged, or it refused a file", where=where, got=got) from error


def _refused(error: Exception, where: str) -> StorageError:
    from pyiceberg.exceptions import (
        AuthorizationExpiredError,
        CommitStateUnknownException,
        ForbiddenError,
        OAuthError,
        ServerError,
        UnauthorizedError,
    )

    got = str(error)
    if isinstance(error, UnauthorizedError | OAuthError | AuthorizationExpiredError):
        expected = "`token`, or `credential` (ID:SECRET), in [profile.NAME.rest]"
        hint = 'take it from the environment: token = "${env:LAKE_TOKEN}"; a token that has expired needs a new one'
        return StorageError(
            "the lake's catalog requires a valid token", where=where, got=got, expected=expected, hint=hint
        )
    if isinstance(error, ForbiddenError):
        hint = f"let it create, change and drop tables and namespaces, in {NAMESPACES}"
        return StorageError("the lake's catalog forbids this to the token", where=where, got=got, hint=hint)
    passing = isinstance(error, ServerError | CommitStateUnknownException)
    return StorageError("the lake's catalog cannot be used", where=where, got=got).passing(passing)
