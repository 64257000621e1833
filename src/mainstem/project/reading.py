"""Read published data of a branch: relations as Arrow, pandas, Polars or Ibis, and SQL over all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mainstem.errors import EngineError, MainstemError, MissingExtra, NotFound, StorageError, UnknownName
from mainstem.graph.lineage import leaves
from mainstem.masking import brief
from mainstem.nodes.hidden import SPLIT, is_hidden, visible_names
from mainstem.nodes.notebook import html, line
from mainstem.planning.execution import Context
from mainstem.project.exploring import Explorer
from mainstem.project.releases import When
from mainstem.tables.reach import refuse_outside

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa
    from sqlglot import exp

    from mainstem.features.offline.join import AsOf

SHOWN = 5
"""The rows that a notebook shows."""

Past = Callable[[str, When], Context]
"""Returns how to read a relation at a point of the branch's past."""


class Readable(ABC):
    """Rows that can be read in several forms."""

    @abstractmethod
    def to_pyarrow(self) -> pa.Table:
        """Return all rows."""

    @abstractmethod
    def to_ibis(self) -> ibis.Table:
        """Return the rows as an Ibis table on the project's engine. It is valid until the project is closed.

        All such tables of a project share one connection, so they can be joined.
        """

    def to_pandas(self) -> Any:
        """Return all rows as a pandas DataFrame."""
        return self.to_pyarrow().to_pandas()

    def to_polars(self) -> Any:
        """Return all rows as a Polars DataFrame. Raises `MissingExtra`."""
        try:
            import polars
        except ImportError:
            raise MissingExtra.named("polars", "polars") from None
        return polars.from_arrow(self.to_pyarrow())


@dataclass(frozen=True, repr=False)
class Relation(Readable):
    """A published relation, read through a release, without hidden columns; perhaps only one `split`."""

    context: Context
    name: str
    past: Past
    explorer: Explorer
    split: str | None = None

    def __post_init__(self) -> None:
        known = {*self.context.release.tables, *(d.name for d in self.context.graph if d.read is not None)}
        if self.name not in known:
            raise UnknownName.among("relation", self.name, known)

    def __repr__(self) -> str:
        snapshot = self.context.release.tables.get(self.name)
        rows = f"{snapshot.rows:,} rows" if snapshot else "nothing published"
        columns = f"{len(visible_names(f.name for f in snapshot.fields))} columns" if snapshot else None
        return line("Relation", self.name, rows, columns, self.split, self.context.release.id)

    def _repr_html_(self) -> str:
        try:
            found = self.head(SHOWN)
        except MainstemError as problem:
            return html(self.name, problem.what, [])
        snapshot = self.context.snapshot(self.name)
        return html(self.name, f"{snapshot.rows:,} rows", found.to_pylist(), found.column_names)

    def as_of(self, when: When) -> Relation:
        """Return the relation as of an instant, a run, a release (by id), or a snapshot.

        The remedies accepted by then are applied. Raises `NotFound`, with the known points.
        """
        then = self.past(self.name, when)
        if self.name not in then.release.tables:
            raise NotFound(f"{self.name!r} was not published yet", got=f"release {then.release.id}")
        return replace(self, context=then)

    def to_pyarrow(self) -> pa.Table:
        return self._fetch(self._rows())

    def head(self, rows: int = 10) -> pa.Table:
        """Return some rows, in no particular order."""
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
        """Return the stored relation with the columns of its snapshot, since its definition may have changed."""
        import ibis

        return ibis.table({f.name: f.type for f in self.context.snapshot(self.name).fields}, name=self.name)

    def _check(self, read: ibis.Table) -> None:
        """Raise `StorageError` if the stored relation lacks a column that its definition reads."""
        import ibis.expr.operations as ops

        for leaf in read.op().find(ops.UnboundTable):
            stored = {field.name for field in self.context.snapshot(leaf.name).fields}
            missing = [column for column in leaf.schema if column not in stored]
            if missing:
                raise StorageError(
                    f"{leaf.name!r} was published without {missing[0]!r}, which the definition of {self.name!r} reads",
                    got=", ".join(sorted(stored)),
                )


@dataclass(frozen=True, repr=False)
class Dataset(Readable):
    """A model's dataset, computed again from the published data; perhaps only one `split`."""

    context: Context
    model: str
    as_of: AsOf
    explorer: Explorer
    split: str | None = None

    def __repr__(self) -> str:
        return line("Dataset", self.model, self.split, f"as of {self.as_of}")

    def to_pyarrow(self) -> pa.Table:
        import pyarrow.compute as pc

        from mainstem.features.forecasts import check_series
        from mainstem.models.training.blueprint import blueprint_of
        from mainstem.models.training.prepared import split_of, task_of

        blueprint = blueprint_of(self.context.graph, self.model, self.as_of)
        with self.context.session(leaves(blueprint.dataset)) as session:
            check_series(self.context.graph, self.model, lambda query: session.fetch(query).to_pylist())
            rows = session.fetch(blueprint.dataset)
        split = split_of(blueprint.model, task_of(blueprint.model, blueprint.dataset), rows, blueprint.key)
        rows = rows.append_column(SPLIT, split)
        return rows if self.split is None else rows.filter(pc.equal(split, self.split))

    def to_ibis(self) -> ibis.Table:
        return self.explorer.given(self.to_pyarrow())


def _visible(rows: ibis.Table) -> ibis.Table:
    return rows.select(visible_names(rows.columns))


def query(context: Context, sql: str) -> pa.Table:
    """Return the rows of a SELECT over published relations. Only the relations that it names are opened.

    A hidden column of a node exists for the query only if the query names it.
    """
    tree = _parsed(sql.strip().rstrip(";"))
    names = _tables_of(tree)
    known = {*context.release.tables, *(d.name for d in context.graph if d.read is not None)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownName.among("published relation", unknown[0], known)
    with ExitStack() as stack:
        stored = {leaf for name in names for leaf in _leaves(context, name)}
        session = stack.enter_context(context.session(stored))
        shown = _shown_to(tree)
        corrected = dict(_corrected(context, names))
        for name, rows in {name: session.fetch(_only(read, shown)) for name, read in corrected.items()}.items():
            session.add(name, rows)
        for name in names:
            if name in context.graph and name not in corrected:
                scan = context.scan(context.snapshot(name))
                session.add(name, replace(scan, fields=tuple(f for f in scan.fields if shown(f.name))))
        try:
            return session.fetch(sql)
        except EngineError as problem:
            problem.where = None  # the engine's SQL; the analyst knows their own query
            raise


def _corrected(context: Context, names: Iterable[str]) -> Iterator[tuple[str, ibis.Table]]:
    """Yield the relations whose reads differ from storage: streams with history or changes, sources with a remedy."""
    import ibis.expr.operations as ops

    for name in names:
        read = context.graph[name].read if name in context.graph else None
        if read is not None and not isinstance(read.op(), ops.UnboundTable):
            yield name, read


def _leaves(context: Context, name: str) -> Iterable[str]:
    return context.graph.stored(name) if name in context.graph else (name,)


def _shown_to(tree: exp.Query) -> Callable[[str], bool]:
    """Return whether a query sees a column: one that is not hidden, or that the query names."""
    from sqlglot import exp

    named = {identifier.name.lower() for identifier in tree.find_all(exp.Identifier)}
    return lambda column: not is_hidden(column) or column in named


def _only(rows: ibis.Table, shown: Callable[[str], bool]) -> ibis.Table:
    return rows.select([column for column in rows.columns if shown(column)])


def _parsed(sql: str) -> exp.Query:
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
        raise EngineError("a query must be one SELECT", got=brief(sql), expected=expected, hint=hint)
    refuse_outside(trees[0], EngineError)
    return trees[0]


def _tables_of(tree: exp.Query) -> list[str]:
    from mainstem.engines.queries import read_by

    return sorted({".".join(part.name for part in table.parts) for table in read_by(tree) if table.name})
