"""Ibis tables for interactive use: all of a project's on one engine session, so that they can be joined."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mainstem.planning.execution import Context
from mainstem.ports import Engine, Relation, Session

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


class Explorer:
    """A session that opens with the first table and stays open until it is closed."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._open = ExitStack()
        self._names: set[str] = set()

    def close(self) -> None:
        """Close the session. Its tables become unusable."""
        self._open.close()

    def bound(self, expression: ibis.Table, context: Context) -> ibis.Table:
        """Bind an expression over stored relations to the snapshots of the context's release."""
        import ibis.expr.operations as ops

        exchange: dict[Any, Any] = {}
        for leaf in expression.op().find(ops.UnboundTable):
            snapshot = context.snapshot(leaf.name)
            name = f"{leaf.name}_{snapshot.id}".replace(".", "_")
            if name not in self._names:
                self._add(name, context.scan(snapshot))
            exchange[leaf] = self._table(name, leaf.schema).op()
        bound: ibis.Table = expression.op().replace(exchange).to_expr()
        return bound

    def given(self, rows: pa.Table) -> ibis.Table:
        """Return computed rows as a table."""
        import ibis

        name = f"_given_{len(self._names)}"
        self._add(name, rows)
        return self._table(name, ibis.Schema.from_pyarrow(rows.schema))

    def _add(self, name: str, relation: Relation) -> None:
        self._session.add(name, relation)
        self._names.add(name)

    def _table(self, name: str, schema: ibis.Schema) -> ibis.Table:
        import ibis.expr.operations as ops

        # The backend's own `table` would query DuckDB for the known schema.
        table: ibis.Table = ops.DatabaseTable(name=name, schema=schema, source=self._backend).to_expr()
        return table

    @cached_property
    def _session(self) -> Session:
        return self._open.enter_context(self._engine().session({}))

    @cached_property
    def _backend(self) -> Any:
        return self._session.backend()
