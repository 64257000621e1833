"""DuckDB connections that reach only the files they are given: no other file, no network, no extension, no setting.

A connection is open while Mainstem adds relations to it. It is sealed before the first query, and cannot be opened
again: a query may contain SQL that a user, or a reviewed file, has written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from weakref import finalize

from mainstem.engines.types import literals, pattern

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CLOSED: Mapping[str, str] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a query sees relations, never Python's variables
}


def connect(config: Mapping[str, Any] | None = None) -> DuckDBPyConnection:
    """Return an open connection to a database in memory, in UTC."""
    import duckdb

    connection = duckdb.connect(config={**CLOSED, **(config or {})})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")  # its cursors inherit it
    return connection


def seal(
    connection: DuckDBPyConnection, directories: Iterable[str] = (), files: Iterable[str] = ()
) -> DuckDBPyConnection:
    """Leave the connection these directories and files, and nothing else, for good. Return it."""
    connection.execute(f"SET allowed_directories = {_both(directories)}")
    connection.execute(f"SET allowed_paths = {_both(files)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


class Spare:
    """Opens connections, each one ahead of its use: DuckDB takes 15 ms to open one.

    A connection is opened ahead when a second one is asked for: a process that opens two opens more.
    """

    def __init__(self, opened: Callable[[], DuckDBPyConnection]) -> None:
        self._opened = opened
        self._lock = Lock()
        self._ahead: list[Future[DuckDBPyConnection]] = []
        self._asked = 0
        finalize(self, self._ahead.clear)  # also when the process ends: a connection must not be left then

    def take(self) -> DuckDBPyConnection:
        """Return an open connection that no one else has."""
        with self._lock:
            ready = self._ahead.pop() if self._ahead else None
            self._asked += 1
            if self._asked > 1:
                self._ahead.append(Future())
                Thread(target=self._prepare, args=tuple(self._ahead), name="connection").start()
        return self._opened() if ready is None else ready.result()

    def _prepare(self, future: Future[DuckDBPyConnection]) -> None:
        try:
            future.set_result(self._opened())
        except BaseException as problem:
            future.set_exception(problem)


def _both(paths: Iterable[str]) -> str:
    """Return paths as DuckDB compares them: the glob that a query names, and the path that it leads to."""
    return literals(sorted({form for path in paths for form in (path, pattern(path))}))
