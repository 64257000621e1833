"""Tables: a function or SQL, typed over its inputs. A run builds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstem.checks.quarantine import passing
from mainstem.checks.violations import Subject
from mainstem.errors import UnknownName
from mainstem.graph.fingerprint import digest, of_expression
from mainstem.graph.known import ALWAYS
from mainstem.graph.lineage import trace
from mainstem.graph.traces import Trace
from mainstem.nodes.base import NodeRef
from mainstem.nodes.checks import Check, ForeignKey
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.tables import Table
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.canonical import plain
from mainstem.project.kinds.relations import check_columns, check_foreign_keys, types_of, unbound
from mainstem.project.kinds.scope import Scope

if TYPE_CHECKING:
    import ibis

# The expression includes the function, the SQL and the inputs. `assume_known` does not change rows.
WRITTEN = ("function", "sql", "inputs", "assume_known")


class TableKind(NodeKind[Table]):
    node_type = Table

    def references(self, node: Table) -> Sequence[NodeRef]:
        return [*_read(node).values(), *(check.to for check in node.checks if hasattr(check, "to"))]

    def define(self, name: str, node: Table, inputs: tuple[str, ...], scope: Scope) -> Definition:
        typed = _typed(name, node, scope)
        schema = types_of(typed.expression)
        check_columns(node, schema)
        for column in node.assume_known:
            if column not in schema:
                raise UnknownName.among("column", column, schema)
        build = scope.over_stored(typed.expression, typed.inputs)
        own = digest("table", of_expression(typed.expression), plain(node, but=WRITTEN))
        fingerprint = digest(own, *(scope.done[each].read_fingerprint for each in inputs))
        return Definition(
            name,
            node,
            inputs,
            fingerprint,
            fingerprint,
            schema,
            build=build,
            read=_computed(name, node, build, scope) if scope.recomputed & typed.inputs else unbound(name, schema),
            known={c: ALWAYS if c in node.assume_known else t.known for c, t in typed.traces.items()},
            columns={c: tuple(sorted(t.sources)) for c, t in typed.traces.items()},
            declared=digest(own, *(scope.done[each].declared_fingerprint for each in inputs)),
        )

    def check(self, graph: Graph) -> None:
        check_foreign_keys(graph, Table)

    def due(self, name: str, node: Table, outlook: Outlook) -> Iterable[Due]:
        return due("build", outlook.unmade(name, "never built") or outlook.inputs(name, "build"), "data")


def _computed(name: str, node: Table, build: ibis.Table, scope: Scope) -> ibis.Table:
    """Return the rows that a build would publish now, without those that it would set aside."""
    scope.recomputed.add(name)
    references: dict[Check, Any] = {}
    for check in node.checks:
        if isinstance(check, ForeignKey):
            references[check] = scope.done[scope.name_of(check.to, name)].read
    return passing(Subject(build, node.checks, node.key, f"{name} ({node.origin})", references))


class _Typed(NamedTuple):
    expression: ibis.Table
    traces: Mapping[str, Trace]
    inputs: frozenset[str]


def _read(node: Table) -> dict[str, NodeRef]:
    """Return the references of the FROM clauses or of the function's parameters."""
    if node.sql is None:
        return {parameter: node.inputs.get(parameter, parameter) for parameter in node.parameters}
    from mainstem.tables.sql import inputs

    return {name: name for name in inputs(node.sql)}


def _typed(name: str, node: Table, scope: Scope) -> _Typed:
    """Return the table as an expression over its inputs as a user sees them, and the traces of its columns."""
    where = f"{name} ({node.origin})"
    names = {said: scope.name_of(reference, where) for said, reference in _read(node).items()}
    seen = {said: scope.visible(each) for said, each in names.items()}
    inputs = frozenset(names.values())
    if node.sql is None:
        from mainstem.tables.resolve import resolve_table

        expression = resolve_table(node, name, seen)
        return _Typed(expression, trace(expression, scope.traces), inputs)
    from mainstem.tables import sql

    expression = sql.bind(node.sql, seen, where, scope.types)
    return _Typed(expression, sql.trace(node.sql, seen, scope.traces, expression.columns), inputs)
