"""DuckDB: the embedded engine. A session is an in-memory database with files and Arrow data as views."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar
from uuid import uuid4

import ibis
import pyarrow as pa

from mainstem.engines.ahead import Ahead
from mainstem.engines.copying import Copy
from mainstem.engines.failures import explained
from mainstem.engines.interrupts import interruptible
from mainstem.engines.queries import teach
from mainstem.engines.relations import raw_sql, scan_sql
from mainstem.engines.rewrites import quicker
from mainstem.engines.sealed import Spare, connect, seal
from mainstem.engines.sharing import is_quick, shared
from mainstem.engines.types import casts, columns_of, identifier, literal
from mainstem.errors import EngineError
from mainstem.ports import DataFile, Feed, RawFiles, Relation, Scan, Session, Target

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from ibis.backends import BaseBackend

Query: TypeAlias = "ibis.Table | str"
R = TypeVar("R")

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
"""The units of a memory limit as DuckDB shows it."""


class DuckdbEngine:
    """Sessions on DuckDB, in UTC, without network.

    Parameters: `memory_limit` such as `4GB` (default: 80 % of the machine's), `threads` (default: one per core), the
    `temp_directory` where queries larger than memory spill to, and the `directories` that sessions may always read and
    write. A session reaches no file beside those, the files of its relations, and the directory that it writes to
    first.
    """

    dialect: ClassVar[str] = "duckdb"

    def __init__(
        self,
        memory_limit: str | None = None,
        threads: int | None = None,
        temp_directory: str | Path | None = None,
        directories: Iterable[str | Path] = (),
    ) -> None:
        self._directories = tuple(map(str, directories))
        self._config: dict[str, Any] = {
            "async_threads": "0",  # an interrupted COPY of DuckDB 2.0 waits forever for its own asynchronous writes
        }
        given = {"memory_limit": memory_limit, "threads": threads, "temp_directory": temp_directory}
        self._config |= {name: str(value) for name, value in given.items() if value is not None}
        self._connections = Spare(self._connected)
        self._sessions: set[DuckdbSession] = set()

    def part(self, sessions: int) -> DuckdbEngine:
        """Return the engine for steps of which up to `sessions` run at once: each session gets its part of the
        memory."""
        if sessions == 1:
            return self
        divided = copy(self)
        divided._config = {**self._config, "memory_limit": f"{self._memory() // sessions // 2**20}MiB"}
        divided._connections = Spare(divided._connected)
        return divided

    def room(self) -> int:
        """Return how many sessions at once have at least 1 GiB of memory, at least 1."""
        return max(1, self._memory() // 2**30)

    def interrupt(self) -> None:
        """Interrupt the statements of all open sessions, from any thread."""
        for session in tuple(self._sessions):
            session.interrupt()

    def _memory(self) -> int:
        """Return the memory limit in bytes, as DuckDB understands it."""
        with explained("connect"):
            connection = connect(self._config)
        try:
            ((text,),) = connection.execute("SELECT current_setting('memory_limit')").fetchall()
        finally:
            connection.close()
        number, unit = str(text).split()
        return int(float(number) * _UNITS[unit])

    @contextmanager
    def session(self, relations: Mapping[str, Relation]) -> Iterator[Session]:
        """Open a session that sees `relations`. Raises `EngineError` if DuckDB refuses the settings."""
        with explained("connect"):
            connection = self._connections.take()
            ((spill,),) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
        place = Path(spill).parent
        if place.parent.is_dir():
            place.mkdir(exist_ok=True)  # DuckDB makes one directory of a path, not those above it
        session = DuckdbSession(connection, self._directories)
        self._sessions.add(session)
        try:
            for name, relation in relations.items():
                session.add(name, relation)
            yield session
        finally:
            self._sessions.discard(session)
            session.close()
            shutil.rmtree(spill, ignore_errors=True)

    def _connected(self) -> DuckDBPyConnection:
        # DuckDB's own default for an in-memory database is `.tmp` in the working directory: the user's project.
        # Each connection has a directory of its own: the names of spilled files are the same in every database.
        spill = Path(self._config.get("temp_directory", tempfile.gettempdir())) / f"mainstem-{uuid4().hex}"
        connection = connect({**self._config, "temp_directory": str(spill)})
        connection.execute(f"SET disabled_optimizers = {literal(','.join(_left_out()))}")
        return connection


class DuckdbSession:
    """One DuckDB connection and the relations it sees.

    It is sealed before the first query: what is added later lies in the directories it was given, or in those of what
    was added before.
    """

    def __init__(self, connection: DuckDBPyConnection, directories: Iterable[str] = ()) -> None:
        self._connection = connection
        self._directories = set(directories)
        self._files: set[str] = set()
        self._is_sealed = False
        self._ahead = Ahead(self._run, self.interrupt)
        self._relations: dict[str, str] = {}
        self._feeds: list[Feed] = []
        self._kept: dict[Any, Any] = {}
        self._backend: BaseBackend | None = None

    def add(self, name: str, relation: Relation) -> None:
        """Create `relation` as the view `name`. `quarantine.legs` can be quoted as a whole or as schema and table."""
        self._kept.clear()  # cached results may have read another relation of this name
        if self._relations.setdefault(name.lower(), name) != name:
            raise EngineError(f"{name!r} and {self._relations[name.lower()]!r} differ in case only", hint="rename one")
        self._execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {self._select(relation)}")
        schema, dot, table = name.partition(".")
        if dot and "." not in table:
            self._execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}")
            qualified = f"{identifier(schema)}.{identifier(table)}"
            self._execute(f"CREATE OR REPLACE VIEW {qualified} AS SELECT * FROM main.{identifier(name)}")

    def write(self, query: Query, target: Target) -> tuple[DataFile, ...]:
        """Write the rows as Parquet with the target's field ids: one file, files of the target's size in the order of
        the rows, or files by its partition. Without rows no file is written.

        Columns that the target does not have are left out. A column that the query lacks raises `EngineError`.
        """
        directory = Path(target.directory)
        directory.mkdir(parents=True, exist_ok=True)
        if target.file_bytes and not self._is_sealed:
            self._files.add(str(directory))  # COPY looks at the directory itself
        self._seal(str(directory))
        copy = Copy(target, uuid4().hex)
        try:
            return copy.taken(self._execute(copy.statement(self._sql(query))).fetchall())
        except BaseException:
            copy.undo()
            raise

    def fetch(self, query: Query) -> pa.Table:
        self._seal()
        sql = self._exact(query)
        with explained(sql):
            return self._interruptible(lambda: self._settled().sql(sql).to_arrow_table())

    def batches(self, query: Query, rows: int = 65_536) -> pa.RecordBatchReader:
        self._seal()
        sql = self._exact(query)
        with explained(sql):
            return self._settled().sql(sql).to_arrow_reader(rows)

    def schema(self, query: Query) -> ibis.Schema:
        """Return an expression's own schema; for SQL, the schema that DuckDB reports."""
        if isinstance(query, ibis.Expr):
            return query.as_table().schema()
        self._seal()
        with explained(query):
            return ibis.schema(dict(columns_of(self._settled(), query)))

    def backend(self) -> BaseBackend:
        """Return the Ibis backend over this connection. It ends with the session."""
        if self._backend is None:
            self._backend = ibis.duckdb.from_connection(self._settled())
            self._seal()
        return self._backend

    def close(self) -> None:
        """Interrupt the current statement and end the session. A statement that was interrupted and has not ended, as
        it waits for a function of the user, keeps its connection."""
        from duckdb import ResourceInUseException

        try:
            self._ahead.close()
        finally:
            with suppress(ResourceInUseException):
                self._connection.close()

    def _seal(self, *directories: str) -> None:
        """Allow the connection only the files of its relations and its directories."""
        if not self._is_sealed:
            seal(self._settled(), self._directories.union(directories), self._files)
            self._is_sealed = True

    def _settled(self) -> DuckDBPyConnection:
        """Return the connection, after all queued statements are done."""
        if self._ahead.is_busy:
            try:
                self._interruptible(self._ahead.settle)
            except BaseException:
                self._kept.clear()
                raise
        return self._connection

    def _execute(self, sql: str) -> DuckDBPyConnection:
        return self._interruptible(lambda: self._run(sql, self._settled()))

    def _run(self, sql: str, connection: DuckDBPyConnection | None = None) -> DuckDBPyConnection:
        with explained(sql):
            return (connection or self._connection).execute(sql)

    def _interruptible(self, query: Callable[[], R]) -> R:
        return interruptible(query, self.interrupt)

    def interrupt(self) -> None:
        """Interrupt the current statement and the queued ones, from any thread."""
        for feed in self._feeds:
            feed.cancel()
        self._connection.interrupt()

    def _select(self, relation: Relation) -> str:
        match relation:
            case Scan():
                self._directories.update(str(Path(file).parent) for file in relation.files)
                return scan_sql(relation)
            case RawFiles():
                self._files.update(relation.paths)
                return raw_sql(relation)
            case pa.Table() | pa.RecordBatch() | pa.RecordBatchReader():
                return f"SELECT * FROM {identifier(self._register(relation))}"
            case Feed():
                self._feeds.append(relation)
                return f"SELECT * FROM {identifier(self._register(relation.reader()))}"
            case _:
                expected = "a Scan, RawFiles, a Feed, a pyarrow.Table or a pyarrow.RecordBatchReader"
                raise EngineError("the engine cannot read this input", got=type(relation).__name__, expected=expected)

    def _register(self, data: Any) -> str:
        name = f"_arrow_{uuid4().hex}"
        with explained(name):
            self._settled().register(name, data)
        return name

    def _sql(self, query: Query) -> str:
        """Return the SQL of a query, and register data that the expression holds (`ibis.memtable`)."""
        if isinstance(query, str):
            return query.strip().rstrip(";")
        expression = query.as_table()
        for held in expression.op().find(ibis.expr.operations.InMemoryTable):
            self.add(held.name, held.data.to_pyarrow(held.schema))
        teach()
        try:
            return _compiled(self._once(expression))
        except BaseException:  # the results of queued statements are no longer needed
            self._ahead.drop()
            self._kept.clear()
            raise

    def _once(self, expression: ibis.Table) -> ibis.Table:
        """Return the expression over temporary tables or views of subexpressions that it uses more than once.

        They are dropped with the session.
        """
        repeated = frozenset(shared(expression))

        def settled(node: Any, rebuilt: Mapping[str, Any] | None) -> Any:
            if node in self._kept:
                return self._kept[node]
            over_tables = quicker(node.__recreate__(rebuilt) if rebuilt else node)
            if node in repeated:
                over_tables = self._kept[node] = self._keep(over_tables.to_expr())
            return over_tables

        whole: ibis.Table = expression.op().replace(settled).to_expr()
        return whole

    def _keep(self, rows: ibis.Table) -> Any:
        """Return an operation that reads a new temporary table of these rows, or a view if that is as fast."""
        name, kind = f"_kept_{uuid4().hex}", "VIEW" if is_quick(rows.op()) else "TABLE"
        sql = f"SELECT {casts(rows.schema())} FROM (\n{_compiled(rows)}\n)"
        self._ahead.begin(f"CREATE TEMP {kind} {identifier(name)} AS {sql}")
        return ibis.table(rows.schema(), name=name).op()

    def _exact(self, query: Query) -> str:
        """Return SQL whose columns have Ibis' types. For example, DuckDB's sum of int64 is a HUGEINT."""
        columns = "*" if isinstance(query, str) else casts(query.as_table().schema())
        return f"SELECT {columns} FROM (\n{self._sql(query)}\n)"


_STEEP = frozenset({"projection_placement"})
"""Optimizers whose time grows with a high power of the columns: DuckDB 2.0 plans a join of 200 columns for a minute."""


@cache
def _left_out() -> tuple[str, ...]:
    """Return the steep optimizers that this version of DuckDB has. It refuses other names."""
    import duckdb

    with duckdb.connect() as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM duckdb_optimizers()").fetchall()}
    return tuple(sorted(_STEEP & names))


def _compiled(expression: ibis.Table) -> str:
    """Compile as `ibis.to_sql` does, without copying expressions that have no backend."""
    from ibis.backends.sql.compilers import duckdb

    return str(duckdb.compiler.to_sqlglot(expression).sql(duckdb.compiler.dialect, copy=False))
