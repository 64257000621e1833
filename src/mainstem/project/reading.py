"""Reading what a branch publishes: relations as Arrow, pandas, Polars or Ibis, and SQL over all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mainstem.errors import EngineError, MissingExtra, NotFound, StorageError, UnknownName
from mainstem.graph.lineage import leaves
from mainstem.masking import brief
from mainstem.nodes.hidden import SPLIT, visible_names
from mainstem.planning.execution import Context
from mainstem.project.exploring import Explorer
from mainstem.project.releases import When

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

    from mainstem.features.offline.join import AsOf

Past = Callable[[str, When], Context]
"""How a relation was to be read at a point in the branch's past."""


class Readable(ABC):
    """Rows, in whatever form one works with."""

    @abstractmethod
    def to_pyarrow(self) -> pa.Table:
        """All rows."""

    @abstractmethod
    def to_ibis(self) -> ibis.Table:
        """The rows as an Ibis table to go on from, on the project's engine, until the project is closed.

        All such tables of a project are on one connection, so they can be joined.
        """

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


@dataclass(frozen=True)
class Relation(Readable):
    """A published relation, read through a release, without hidden columns; of one `split` only, if given."""

    context: Context
    name: str
    past: Past
    explorer: Explorer
    split: str | None = None

    def __post_init__(self) -> None:
        known = {*self.context.release.tables, *(d.name for d in self.context.graph if d.read is not None)}
        if self.name not in known:
            raise UnknownName.among("relation", self.name, known)

    def as_of(self, when: When) -> Relation:
        """The relation as the branch published it at an instant, by a run or release (their ids), or with a snapshot.

        What is corrected on reading is so by the remedies accepted by then. Raises `NotFound`, with what there is.
        """
        then = self.past(self.name, when)
        if self.name not in then.release.tables:
            raise NotFound(f"{self.name!r} was not published yet", got=f"release {then.release.id}")
        return replace(self, context=then)

    def to_pyarrow(self) -> pa.Table:
        return self._fetch(self._rows())

    def head(self, rows: int = 10) -> pa.Table:
        """The first rows, in no particular order."""
        return self._fetch(self._rows().limit(rows))

    def to_ibis(self) -> ibis.Table:
        return self.explorer.bound(self._rows(), self.context)

    def _fetch(self, expression: ibis.Table) -> pa.Table:
        with self.context.session(leaves(expression)) as session:
            return session.fetch(expression)

    def _rows(self) -> ibis.Table:
        import ibis.expr.operations as ops

        graph = self.context.graph
        read = graph[self.name].read if self.name in graph else None
        if read is None:
            rows = self._stored()
        elif isinstance(read.op(), ops.UnboundTable):
            rows = _visible(self._stored())
        else:
            self._check(read)
            rows = _visible(read)
        return rows if self.split is None else rows.filter(rows[SPLIT] == self.split)

    def _stored(self) -> ibis.Table:
        """The stored relation, with the columns that it was published with: its definition may have changed since."""
        import ibis

        return ibis.table({f.name: f.type for f in self.context.snapshot(self.name).fields}, name=self.name)

    def _check(self, read: ibis.Table) -> None:
        """Whether what is stored has what reading it takes. Raises `StorageError`."""
        import ibis.expr.operations as ops

        for leaf in read.op().find(ops.UnboundTable):
            stored = {field.name for field in self.context.snapshot(leaf.name).fields}
            missing = [column for column in leaf.schema if column not in stored]
            if missing:
                raise StorageError(
                    f"{leaf.name!r} was published without {missing[0]!r}, which {self.name!r} is read with now",
                    got=", ".join(sorted(stored)),
                )


@dataclass(frozen=True)
class Dataset(Readable):
    """A model's dataset, computed anew from what is published; of one `split` only, if given."""

    context: Context
    model: str
    as_of: AsOf
    explorer: Explorer
    split: str | None = None

    def to_pyarrow(self) -> pa.Table:
        import pyarrow.compute as pc

        from mainstem.models.blueprint import blueprint_of
        from mainstem.models.prepared import split_of, task_of

        blueprint = blueprint_of(self.context.graph, self.model, self.as_of)
        with self.context.session(leaves(blueprint.dataset)) as session:
            rows = session.fetch(blueprint.dataset)
        split = split_of(blueprint.model, task_of(blueprint.model, blueprint.dataset), rows, blueprint.key)
        rows = rows.append_column(SPLIT, split)
        return rows if self.split is None else rows.filter(pc.equal(split, self.split))

    def to_ibis(self) -> ibis.Table:
        return self.explorer.given(self.to_pyarrow())


def _visible(rows: ibis.Table) -> ibis.Table:
    return rows.select(visible_names(rows.columns))


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
        for name, rows in {name: session.fetch(read) for name, read in _corrected(context, names)}.items():
            session.add(name, rows)
        try:
            return session.fetch(sql)
        except EngineError as problem:
            problem.where = None  # what the engine was sent; the analyst knows what they asked
            raise


def _corrected(context: Context, names: Iterable[str]) -> Iterator[tuple[str, ibis.Table]]:
    """Those that are not read as they are stored: streams with a history or of changes, sources with a remedy."""
    import ibis.expr.operations as ops

    for name in names:
        read = context.graph[name].read if name in context.graph else None
        if read is not None and not isinstance(read.op(), ops.UnboundTable):
            yield name, read


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
        raise EngineError("only a SELECT can look into published tables", got=brief(sql), expected=expected, hint=hint)
    tree = trees[0]
    local = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    tables = {".".join(part.name for part in table.parts) for table in tree.find_all(exp.Table) if table.name}
    return sorted(tables - local)
