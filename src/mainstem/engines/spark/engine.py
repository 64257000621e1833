"""Spark: the distributed engine. A session of Mainstem is a session of Spark with files and Arrow data as views."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias
from uuid import uuid4

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.queries import teach
from mainstem.engines.sharing import is_quick, shared
from mainstem.engines.spark.boosting import boosted
from mainstem.engines.spark.compiler import compiler
from mainstem.engines.spark.failures import explained
from mainstem.engines.spark.files import Files, OnDisk
from mainstem.engines.spark.queries import over, translated
from mainstem.engines.spark.relations import handed_over, read
from mainstem.engines.spark.starting import ALWAYS, start
from mainstem.engines.spark.types import computed, from_spark, identifier, to_spark, to_sql
from mainstem.engines.spark.writing import written
from mainstem.errors import EngineError
from mainstem.ports import DataFile, Feed, RawFiles, Relation, Scan, Session, Target

if TYPE_CHECKING:
    from ibis.backends import BaseBackend
    from pyspark.sql import DataFrame, SparkSession

Query: TypeAlias = "ibis.Table | str"


class SparkEngine:
    """Sessions on Spark, in UTC.

    Parameters: `master` as Spark knows it (`local[*]`, `spark://…`, `yarn`, `k8s://…`), or `sc://HOST` for Spark
    Connect; Spark's own `settings`; the `memory` of the driver; a `directory` for data that this process hands over;
    and the `files` that it shares with Spark's workers (default: those of a disk that all of them see).

    CSV and JSON files of sources, and data of this process, are read by the embedded engine first and handed over as
    Parquet, so that they have the same meaning on both engines.
    """

    dialect: ClassVar[str] = "spark"

    def __init__(
        self,
        master: str = "local[*]",
        settings: Mapping[str, str] | None = None,
        memory: str | None = None,
        directory: str | Path | None = None,
        files: Files | None = None,
    ) -> None:
        self._master, self._settings, self._memory = master, dict(settings or {}), memory
        self._directory = Path(directory or tempfile.gettempdir())
        self._files: Files = files or OnDisk()
        self._sessions: set[SparkEngineSession] = set()

    @contextmanager
    def session(self, relations: Mapping[str, Relation]) -> Iterator[Session]:
        """Open a session that sees `relations`. Raises `EngineError` if Spark cannot be started."""
        spark = start(self._master, self._settings, self._memory, self._files.at_start)
        handed = self._directory / f"handed-{uuid4().hex}"
        session = SparkEngineSession(_apart(spark, self._files), handed, self._files)
        self._sessions.add(session)
        try:
            for name, relation in relations.items():
                session.add(name, relation)
            yield session
        finally:
            self._sessions.discard(session)
            session.close()

    def interrupt(self) -> None:
        """Cancel the jobs of all open sessions, from any thread."""
        for session in tuple(self._sessions):
            session.interrupt()


class SparkEngineSession:
    """One session of Spark and the relations it sees. `handed` is a directory for data that is handed to Spark."""

    def __init__(self, spark: SparkSession, handed: Path, shared: Files) -> None:
        self._spark, self._handed, self._shared = spark, handed, shared
        self._tag = f"mainstem-{uuid4().hex}"
        self._views: dict[str, str] = {}
        self._feeds: list[Feed] = []
        self._kept: dict[Any, Any] = {}
        self._embedded = DuckdbEngine()
        self._backend: BaseBackend | None = None
        self._has_handed = False

    def add(self, name: str, relation: Relation) -> None:
        """Make `relation` readable as `name`. Raises `EngineError` for a name that differs in case only."""
        self._kept.clear()  # files may have rows of another relation of this name
        alike = next((each for each in self._views if each.lower() == name.lower()), name)
        if alike != name:
            raise EngineError(f"{name!r} and {alike!r} differ in case only", hint="rename one")
        view = f"_r{uuid4().hex}"
        with explained(name):
            self._rows(relation).createOrReplaceTempView(view)
        if before := self._views.get(name):
            self._spark.catalog.dropTempView(before)
        self._views[name] = view

    def write(self, query: Query, target: Target) -> tuple[DataFile, ...]:
        """Write the rows as Parquet files with the target's field ids, as many as Spark's tasks have.

        With a partition, the rows of each file are of one part. Columns that the target does not have are left out. A
        column that the query lacks raises `EngineError`.
        """
        sql = self._sql(query)
        Path(target.directory).mkdir(parents=True, exist_ok=True)
        with explained(sql), self._tagged():
            return written(self._spark.sql(sql), target, self._shared)

    def write_mapped(
        self,
        query: ibis.Table,
        function: Callable[[pa.RecordBatch], pa.RecordBatch],
        schema: ibis.Schema,
        target: Target,
    ) -> tuple[DataFile, ...]:
        """Write what a function makes of each batch, with this schema. Spark's workers call it."""
        import pyspark.sql.types as pt

        sql = self._sql(query)
        Path(target.directory).mkdir(parents=True, exist_ok=True)
        fields = [pt.StructField(name, to_spark(computed(dtype))) for name, dtype in schema.items()]
        with explained(sql), self._tagged():
            rows = self._spark.sql(sql).mapInArrow(lambda batches: map(function, batches), pt.StructType(fields))
            return written(rows, target, self._shared)

    def boost(
        self,
        query: ibis.Table,
        function: Callable[[pa.RecordBatch], pa.RecordBatch],
        parameters: Mapping[str, Any],
        rounds: int,
    ) -> bytes:
        """Return a model of XGBoost as JSON, fitted by Spark's workers on what a function makes of each batch."""
        sql = self._sql(query)
        with explained(sql), self._tagged():
            return boosted(self._spark.sql(sql), function, parameters, rounds)

    def fetch(self, query: Query) -> pa.Table:
        sql = self._sql(query)
        with explained(sql), self._tagged():
            rows = self._spark.sql(sql)
            found: pa.Table = rows.toArrow()
        return found.cast(self._schema(query, rows).to_pyarrow())

    def batches(self, query: Query, rows: int = 65_536) -> pa.RecordBatchReader:
        """Return the rows in batches. They are computed to files first, so that they need not fit the memory."""
        sql = self._sql(query)
        place, self._has_handed = self._handed / uuid4().hex, True
        with explained(sql), self._tagged():
            found = self._spark.sql(sql)
            found.write.parquet(self._shared.url(place))
            files = self._shared.parts(place)
        schema = self._schema(query, found).to_pyarrow()

        def each() -> Iterator[pa.RecordBatch]:
            try:
                for file in files:
                    for batch in pq.ParquetFile(file).iter_batches(batch_size=rows):
                        yield batch.cast(schema)
                    file.unlink()
            finally:
                self._shared.drop(place)

        return pa.RecordBatchReader.from_batches(schema, each())

    def schema(self, query: Query) -> ibis.Schema:
        """Return an expression's own schema; for SQL, the schema that Spark reports."""
        if isinstance(query, ibis.Expr):
            return query.as_table().schema()
        sql = self._sql(query)
        with explained(sql):
            return self._schema(query, self._spark.sql(sql))

    def backend(self) -> BaseBackend:
        """Return the Ibis backend over this session. It ends with the session."""
        if self._backend is None:
            for name, view in self._views.items():
                if name.isidentifier():
                    self._spark.table(view).createOrReplaceTempView(name)
            self._backend = ibis.pyspark.connect(self._spark)
        return self._backend

    def interrupt(self) -> None:
        """Cancel what the session computes, from any thread."""
        for feed in self._feeds:
            feed.cancel()
        self._spark.interruptTag(self._tag)

    def close(self) -> None:
        for view in self._views.values():
            self._spark.catalog.dropTempView(view)
        if self._has_handed:
            self._shared.drop(self._handed)

    @contextmanager
    def _tagged(self) -> Iterator[None]:
        self._spark.addTag(self._tag)
        try:
            yield
        except KeyboardInterrupt:
            self.interrupt()
            raise
        finally:
            self._spark.removeTag(self._tag)

    # ── relations ─────────────────────────────────────────────────────────────────────────────────────

    def _rows(self, relation: Relation) -> DataFrame:
        match relation:
            case Scan():
                return self._scan(relation)
            case RawFiles():
                return self._raw(relation)
            case pa.Table() | pa.RecordBatch():
                return self._arrow(
                    pa.Table.from_batches([relation]) if isinstance(relation, pa.RecordBatch) else relation
                )
            case pa.RecordBatchReader():
                return self._arrow(relation)
            case Feed():
                self._feeds.append(relation)
                return self._arrow(relation.reader())
            case _:
                expected = "a Scan, RawFiles, a Feed, a pyarrow.Table or a pyarrow.RecordBatchReader"
                raise EngineError("the engine cannot read this input", got=type(relation).__name__, expected=expected)

    def _scan(self, scan: Scan) -> DataFrame:
        return read(self._spark, scan, self._shared)

    def _raw(self, raw: RawFiles) -> DataFrame:
        with self._embedded.session({"raw": raw}) as session:
            return self._arrow(session.batches("SELECT * FROM raw"))

    def _arrow(self, data: pa.Table | pa.RecordBatchReader) -> DataFrame:
        self._has_handed = True
        return handed_over(self._spark, data, self._handed, self._shared)

    # ── queries ───────────────────────────────────────────────────────────────────────────────────────

    def _sql(self, query: Query) -> str:
        """Return Spark SQL of a query, and make data that the expression holds (`ibis.memtable`) readable."""
        if isinstance(query, str):
            with explained(query):
                return translated(query, self._views)
        expression = query.as_table()
        for held in expression.op().find(ibis.expr.operations.InMemoryTable):
            self.add(held.name, held.data.to_pyarrow(held.schema))
        teach()
        return self._compiled(self._once(expression))

    def _compiled(self, expression: ibis.Table) -> str:
        tree = compiler().to_sqlglot(expression)
        return str(over(tree, self._views).sql(dialect=compiler().dialect))

    def _once(self, expression: ibis.Table) -> ibis.Table:
        """Return the expression over files of the subexpressions that it uses more than once.

        Spark computes a subexpression again for each use, and each use doubles what it has to analyse.
        """
        repeated = frozenset(each for each in shared(expression) if not is_quick(each))

        def settled(node: Any, rebuilt: Mapping[str, Any] | None) -> Any:
            if node in self._kept:
                return self._kept[node]
            over_files = node.__recreate__(rebuilt) if rebuilt else node
            if node in repeated and not any(kind.is_null() for kind in node.schema.types):
                over_files = self._kept[node] = self._keep(over_files.to_expr())
            return over_files

        whole: ibis.Table = expression.op().replace(settled).to_expr()
        return whole

    def _keep(self, rows: ibis.Table) -> Any:
        """Return an operation that reads these rows from files, which are removed with the session."""
        import pyspark.sql.types as pt

        name, sql = f"_kept_{uuid4().hex}", self._compiled(rows)
        casts = ", ".join(f"CAST({identifier(c)} AS {to_sql(t)}) AS {identifier(c)}" for c, t in rows.schema().items())
        place, self._has_handed = self._shared.url(self._handed / name), True
        with explained(sql), self._tagged():
            self._spark.sql(f"SELECT {casts} FROM (\n{sql}\n)").write.parquet(place)
            columns = [pt.StructField(column, to_spark(dtype)) for column, dtype in rows.schema().items()]
            self._spark.read.schema(pt.StructType(columns)).parquet(place).createOrReplaceTempView(name)
        self._views[name] = name
        return ibis.table(rows.schema(), name=name).op()

    def _schema(self, query: Query, rows: DataFrame) -> ibis.Schema:
        if isinstance(query, str):
            return ibis.schema({each.name: from_spark(each.dataType) for each in rows.schema.fields})
        return query.as_table().schema()


def _apart(spark: SparkSession, files: Files) -> SparkSession:
    """Return a session with views of its own, the settings that results depend on, and those of the files' store."""
    own = spark.newSession()
    for name, value in {**ALWAYS, **files.settings}.items():
        own.conf.set(name, value)
    return own
