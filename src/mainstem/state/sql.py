"""The state in SQLite or PostgreSQL: records as JSON, and branch heads that move by compare-and-swap."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import URL, Select, create_engine, delete, event, make_url, select, update
from sqlalchemy.exc import NoSuchModuleError

from mainstem import private
from mainstem.errors import ConflictError, MissingExtra, SettingsError
from mainstem.ports import R, Record
from mainstem.state import lease, patience
from mainstem.state.codec import decode, encode
from mainstem.state.failures import explained, is_full
from mainstem.state.schema import REVISION, branches, counters, create, json_text, records, revision

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_BUSY = 30_000  # ms that a SQLite writer waits for another one
_ALONE = "mainstem.alone"

LITE = "sqlite:///"
"""Before the path of a SQLite file."""


class SqlState:
    """Records and branches in the database at `url`: `sqlite:///PATH` or `postgresql://…`.

    The constructor does not connect. The first use creates or upgrades the tables. Raises `SettingsError` for an
    invalid URL and `MissingExtra` without PostgreSQL's driver. Every method raises `StorageError` if the database
    fails.
    """

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._engine: Engine | None = None
        self._opening = threading.Lock()

    def save(self, *records: Record) -> None:
        if not records:
            return
        rows = _rows(records)
        with explained(self.where), self._connect().begin() as connection:
            _save(connection, rows)

    def get(self, kind: type[R], id: str) -> R | None:
        if self._is_absent:
            return None
        query = select(records.c.body).where(records.c.kind == kind.__name__, records.c.id == id)
        with explained(self.where), self._connect().connect() as connection:
            body = connection.execute(query).scalar()
        return None if body is None else decode(body, kind)

    def find(self, kind: type[R], *, newest: int | None = None, **fields: str) -> list[R]:
        """Return records, ordered by when each was first saved. Numbers and booleans are compared as JSON texts."""
        if self._is_absent:
            return []
        query = select(records.c.body).where(records.c.kind == kind.__name__)
        for name, text in fields.items():
            query = query.where(json_text(records.c.body, name) == text)
        with explained(self.where), self._connect().connect() as connection:
            bodies = connection.execute(_ordered(query, newest)).scalars().all()
        return [decode(body, kind) for body in (bodies if newest is None else reversed(bodies))]

    def head(self, branch: str) -> str | None:
        if self._is_absent:
            return None
        query = select(branches.c.release).where(branches.c.name == branch)
        with explained(self.where), self._connect().connect() as connection:
            release: str | None = connection.execute(query).scalar()
        return release

    def move(self, branch: str, to: str, *, expect: str | None) -> None:
        with explained(self.where), self._connect().begin() as connection:
            _move(connection, branch, to, expect)

    def publish(self, branch: str, to: Record, *records: Record, expect: str | None) -> None:
        rows = _rows([to, *records])
        with explained(self.where), self._connect().begin() as connection:
            _move(connection, branch, to.id, expect)
            _save(connection, rows)

    def reserve(self, counter: str, count: int = 1) -> int:
        with explained(self.where), self._connect().begin() as connection:
            statement: Any = _dialect(connection).insert(counters).values(name=counter, last=count)
            grown = {"last": counters.c.last + count}
            statement = statement.on_conflict_do_update(index_elements=["name"], set_=grown)
            last: int = connection.execute(statement.returning(counters.c.last)).scalar_one()
        return last - count + 1

    @contextmanager
    def hold(self, branch: str, who: str) -> Iterator[None]:
        path = self._url.database
        if self._url.get_backend_name() == "postgresql":
            with ExitStack() as held:
                with explained(self.where):
                    held.enter_context(lease.of_server(self._connect(), branch, who))
                yield
        elif path in (None, "", ":memory:"):
            yield
        else:
            with lease.of_file(Path(f"{path}.{quote(branch, safe='')}.lock"), branch, who):
                yield

    def branches(self) -> dict[str, str]:
        if self._is_absent:
            return {}
        query = select(branches.c.name, branches.c.release).order_by(branches.c.name)
        with explained(self.where), self._connect().connect() as connection:
            return {row.name: row.release for row in connection.execute(query)}

    def drop(self, branch: str, *, expect: str) -> None:
        gone = delete(branches).where(branches.c.name == branch, branches.c.release == expect)
        with explained(self.where), self._connect().begin() as connection:
            if connection.execute(gone.returning(branches.c.name)).scalar() is None:
                raise ConflictError(f"branch {branch!r} has moved", expected=expect, hint="look at it, and try again")

    def shred(self) -> None:
        """Leave nothing of records that were replaced in the database's files."""
        lite = self._url.get_backend_name() == "sqlite"
        statements = ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] if lite else [f"VACUUM FULL {records.name}"]
        with explained(self.where), self._connect().connect() as connection:
            raw = connection.execution_options(isolation_level="AUTOCOMMIT")
            for statement in statements:
                raw.exec_driver_sql(statement)

    def close(self) -> None:
        """Close the connections. The next use opens them again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @property
    def where(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def _is_absent(self) -> bool:
        """Whether the state is a file that does not exist yet. To read it must not make it."""
        path = self._url.database
        lite = self._url.drivername == "sqlite" and path not in (None, "", ":memory:")
        return self._engine is None and lite and not Path(str(path)).exists()

    def _connect(self) -> Engine:
        if self._engine is None:
            with self._opening:
                self._engine = self._engine or self._opened()
        return self._engine

    def _opened(self) -> Engine:
        lite = self._url.get_backend_name() == "sqlite"
        try:
            engine = create_engine(self._url, pool_pre_ping=not lite)
        except ModuleNotFoundError as error:
            raise MissingExtra.named("postgres", error.name or "psycopg") from error
        if lite and self._url.database not in (None, "", ":memory:"):
            _make_private(Path(str(self._url.database)))
        if lite:
            event.listen(engine, "do_connect", _connect_lite)
            event.listen(engine, "checkin", _let_go)
        if revision(engine) != REVISION and not (lite and create(engine)) and revision(engine) != REVISION:
            # Imported here: Alembic takes longer to import than a run without due steps may take.
            from mainstem.state.migrations import upgrade

            upgrade(engine)
        if not lite:
            patience.wait_for(engine)
        return engine


def _make_private(path: Path) -> None:
    """Make the state's files private, because they hold keys. SQLite gives new files beside it the same rights."""
    if not path.parent.exists():
        private.directory(path.parent)
    private.file(path)
    private.files(*(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")))


def _parsed(url: str) -> URL:
    try:
        # A path is no URL: a directory's name may have a `?` or a `%`.
        path = url.removeprefix(LITE)
        parsed = URL.create("sqlite", database=path) if path != url else make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise NoSuchModuleError(parsed.drivername)
    except Exception as error:
        expected = "sqlite:///PATH or postgresql://USER@HOST/NAME"
        raise SettingsError("the state's URL cannot be used", got=str(error), expected=expected) from error
    return parsed


def _connect_lite(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
    """Return a connection to SQLite.

    On a full disk it can still read, but it blocks other processes while it is used. Several processes share an index
    of recent writes in a file; a single process has the index in memory.
    """
    connection = dialect.connect(*arguments, **parameters)
    try:
        return _tuned(connection)
    except sqlite3.OperationalError as error:
        connection.close()
        if not is_full(str(error)):
            raise
    record.info[_ALONE] = True
    return _tuned(dialect.connect(*arguments, **parameters), "locking_mode=EXCLUSIVE")


def _tuned(connection: Any, *first: str) -> Any:
    """Allow readers during a write, let writers wait for each other, and make commits survive a power cut."""
    for pragma in (*first, f"busy_timeout={_BUSY}", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _let_go(_: object, record: Any) -> None:
    """Close a connection with an exclusive lock when it is returned to the pool."""
    if record.info.pop(_ALONE, False):
        record.invalidate()


def _upsert(connection: Connection, row: dict[str, str]) -> Any:
    statement: Any = _dialect(connection).insert(records).values(row)
    return statement.on_conflict_do_update(index_elements=["kind", "id"], set_={"body": row["body"]})


def _rows(records: Iterable[Record]) -> list[dict[str, str]]:
    return [{"kind": type(r).__name__, "id": r.id, "body": encode(r)} for r in records]


def _save(connection: Connection, rows: Iterable[dict[str, str]]) -> None:
    for row in rows:
        connection.execute(_upsert(connection, row))


def _move(connection: Connection, branch: str, to: str, expect: str | None) -> None:
    """Move the head, or raise `ConflictError`, which rolls the transaction back."""
    moved = _moved(connection, branch, to, expect).returning(branches.c.name)
    if connection.execute(moved).scalar() is None:
        query = select(branches.c.release).where(branches.c.name == branch)
        raise ConflictError(
            f"branch {branch!r} has moved",
            got=connection.execute(query).scalar() or "no release",
            expected=expect or "no release",
            hint="another run published first; run again",
        )


def _moved(connection: Connection, branch: str, to: str, expect: str | None) -> Any:
    if expect is None:
        return _dialect(connection).insert(branches).values(name=branch, release=to).on_conflict_do_nothing()
    return update(branches).where(branches.c.name == branch, branches.c.release == expect).values(release=to)


def _dialect(connection: Connection) -> Any:
    """Return the module with the database's own `insert`. Importing all of them takes a tenth of a second."""
    return import_module(f"sqlalchemy.dialects.{connection.dialect.name}")


def _ordered(query: Select[Any], newest: int | None) -> Select[Any]:
    if newest is None:
        return query.order_by(records.c.position)
    return query.order_by(records.c.position.desc()).limit(newest)
