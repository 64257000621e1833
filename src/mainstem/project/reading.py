"""Reading what a branch publishes: relations as Arrow, pandas, Polars or Ibis, and SQL over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainstem.errors import EngineError, MissingExtra, UnknownName
from mainstem.planning.execution import Context

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


@dataclass(frozen=True)
class Relation:
    """A published relation, read through a release; `condition` is SQL that its rows must meet."""

    context: Context
    name: str
    condition: str | None = None

    def __post_init__(self) -> None:
        known = {*self.context.release.tables, *(d.name for d in self.context.graph if d.read is not None)}
        if self.name not in known:
            raise UnknownName.among("relation", self.name, known)

    def to_pyarrow(self) -> pa.Table:
        """All rows, without hidden columns."""
        with self.context.session(self._stored()) as session:
            if not self.condition:
                return session.fetch(self._expression())
            session.add("_relation", session.fetch(self._expression()))
            return session.fetch(f"SELECT * FROM _relation WHERE {self.condition}")

    def head(self, rows: int = 10) -> pa.Table:
        """The first rows, in no particular order."""
        with self.context.session(self._stored()) as session:
            return session.fetch(self._expression().limit(rows))

    def to_pandas(self) -> Any:
        """All rows as a pandas DataFrame."""
        return self.to_pyarrow().to_pandas()

    def to_polars(self) -> Any:
        """All rows as a Polars DataFrame. Raises `MissingExtra`."""
        try:
            import polars
        except ImportError:
            raise MissingExtra.named("polars", "polars") from None
        return polars.from_arrow(self.to_pyarrow())

    def _stored(self) -> frozenset[str]:
        graph = self.context.graph
        return graph.stored(self.name) if self.name in graph else frozenset({self.name})

    def _expression(self) -> ibis.Table:
        import ibis

        if self.name in self.context.graph:
            read = self.context.graph[self.name].read
            assert read is not None
            return read.select([column for column in read.columns if not column.startswith("_")])
        snapshot = self.context.snapshot(self.name)
        return ibis.table({field.name: field.type for field in snapshot.fields}, name=self.name)


def query(context: Context, sql: str) -> pa.Table:
    """The rows of a SELECT over everything that is published. Only what it names is opened."""
    names = _tables_of(sql.strip().rstrip(";"))
    known = {*context.release.tables, *(d.name for d in context.graph if d.read is not None)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownName.among("published relation", unknown[0], known)
    with ExitStack() as stack:
        stored = {leaf for name in names for leaf in _leaves(context, name)}
        session = stack.enter_context(context.session(stored))
        for name in names:
            if name in context.graph and not _as_stored(context.graph[name].read):
                session.add(name, session.fetch(context.graph[name].read))
        try:
            return session.fetch(sql)
        except EngineError as problem:
            problem.where = None  # what the engine was sent; the analyst knows what they asked
            raise


def _as_stored(read: Any) -> bool:
    """Whether reading is reading the stored relation as it is: no remedy, no history, nothing taken back."""
    from ibis.expr.operations import UnboundTable

    return isinstance(read.op(), UnboundTable)


def _leaves(context: Context, name: str) -> Iterable[str]:
    return context.graph.stored(name) if name in context.graph else (name,)


def _tables_of(sql: str) -> list[str]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    expected, hint = "one SELECT, in DuckDB's dialect", 'mainstem query "select * from TABLE"'
    try:
        trees = sqlglot.parse(sql, dialect="duckdb")
    except SqlglotError as problem:
        raise EngineError(
            "the query is not SQL", got=str(problem).split("\n")[0], expected=expected, hint=hint
        ) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise EngineError("only a SELECT can look into published tables", got=sql[:80], expected=expected, hint=hint)
    tree = trees[0]
    local = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    tables = {".".join(part.name for part in table.parts) for table in tree.find_all(exp.Table) if table.name}
    return sorted(tables - local)
