"""Tables: a function or SQL, typed over its inputs. A run builds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstem.checks.quarantine import passing
from mainstem.checks.violations import Subject
from mainstem.errors import SettingsError, StorageError, UnknownName
from mainstem.graph.fingerprint import digest, of_expression
from mainstem.graph.known import ALWAYS
from mainstem.graph.lineage import trace
from mainstem.graph.traces import Trace, derived
from mainstem.nodes.base import NodeRef
from mainstem.nodes.checks import Check, ForeignKey
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.joins import Join, collecting
from mainstem.nodes.tables import Table
from mainstem.nodes.verbs import Verb
from mainstem.nodes.verbs.fitted import Fit, Statistics
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.canonical import plain, plain_join, plain_verbs
from mainstem.project.kinds.history import history_schema, history_traces
from mainstem.project.kinds.incremental import check_intervals, intervals_due
from mainstem.project.kinds.relations import check_columns, check_foreign_keys, types_of, unbound
from mainstem.project.kinds.scope import Scope
from mainstem.settings import find_root
from mainstem.tables.cleaning import Fitter, cleaned, schema_aside, traced
from mainstem.tables.fitting import Fitted

if TYPE_CHECKING:
    import ibis

# The expression includes the function, the SQL and the inputs. `assume_known` and `sort` do not change rows.
WRITTEN = ("function", "sql", "inputs", "assume_known", "clean", "using", "schema", "sort")

# What only says how much of the table a run builds.
_BUILT = ("incremental", "interval", "lookback", "write", "versions")


class TableKind(NodeKind[Table]):
    node_type = Table

    def references(self, node: Table) -> Sequence[NodeRef]:
        others = (check.to for check in node.checks if isinstance(check, ForeignKey))
        return [*_read(node).values(), *(to for to in others if to not in (node, node.name))]

    def define(self, name: str, node: Table, inputs: tuple[str, ...], scope: Scope) -> Definition:
        typed = _typed(name, node, scope)
        place, verbs = f"{name} ({node.origin})", _loaded(node)
        published = typed.expression
        if node.clean:
            published = cleaned(typed.expression, verbs, place, time=node.row_time).rows
        traces = history_traces(node, traced(typed.traces, verbs))
        plain_schema = types_of(published)
        schema = history_schema(node, verbs, plain_schema, place)
        if node.clean:
            _check_types(published.schema().items(), place)
        check_columns(node, schema)
        check_intervals(node, verbs, schema, place)
        for column in node.assume_known:
            if column not in schema:
                raise UnknownName.among("column", column, schema)
        raw = scope.over_stored(typed.expression, typed.inputs)
        fits = _fits(node, verbs, typed, inputs, scope)
        build = raw
        if node.clean:
            build = _cleaned(name, node, raw, verbs, fits, typed, scope)
        said = (each for join in typed.joins for each in plain_join(join))
        how = (node.write, str(node.incremental)) if node.write else ("versions",) if node.versions else ()
        what = plain(node, but=(*WRITTEN, *_BUILT))
        own = digest("table", of_expression(typed.expression), what, *plain_verbs(verbs), *said, *how)
        fingerprint = digest(own, *(scope.done[each].read_fingerprint for each in inputs))
        return Definition(
            name,
            node,
            inputs,
            fingerprint,
            fingerprint,
            schema,
            build=build,
            read=_computed(name, node, build, scope)
            if scope.recomputed & typed.inputs and node.using is None and not node.versions
            else unbound(name, schema),
            known={c: ALWAYS if c in node.assume_known else traces[c].known for c in schema},
            columns={c: tuple(sorted(traces[c].sources)) for c in schema},
            own=own,
            declared=digest(own, *(scope.done[each].declared_fingerprint for each in inputs)),
            raw=raw if node.clean else None,
            fits=fits,
            clean=verbs,
            aside=schema_aside(types_of(typed.expression), plain_schema)
            if node.clean
            else plain_schema
            if node.versions
            else None,
            joins=tuple(join.over(lambda rows: scope.over_stored(rows, typed.inputs)) for join in typed.joins),
        )

    def check(self, graph: Graph) -> None:
        check_foreign_keys(graph, Table)

    def due(self, name: str, node: Table, outlook: Outlook) -> Iterable[Due]:
        reason = outlook.unmade(name, "never built") or outlook.inputs(name, "build")
        told = intervals_due(name, node, outlook) if reason and node.intervals else ()
        return due("build", reason, "data", (*told, *(verb.describe() for verb in node.clean)))


def _loaded(node: Table) -> tuple[Verb, ...]:
    """Return the verbs with what they read from files of the project."""
    if not node.clean:
        return ()
    here = Path(node.origin.file).parent
    try:
        root = find_root(here)
    except SettingsError:  # definitions outside a project, as in tests
        root = here
    return tuple(verb.loaded(root) for verb in node.clean)


def _cleaned(
    name: str,
    node: Table,
    raw: ibis.Table,
    verbs: Sequence[Verb],
    fits: Sequence[Fit],
    typed: _Typed,
    scope: Scope,
) -> ibis.Table:
    """Return the cleaned rows. Statistics and secrets are those of a run only if the table is recomputed."""
    place = f"{name} ({node.origin})"
    if not scope.recomputed & typed.inputs:
        return cleaned(raw, verbs, place, time=node.row_time).rows
    fitter = _fitter(fits, scope.statistics(name)) if fits else None
    return cleaned(raw, [verb.ready() for verb in verbs], place, time=node.row_time, fitter=fitter).rows


def _fitter(fits: Sequence[Fit], known: Mapping[str, Fitted]) -> Fitter:
    """Return the statistics that a table's last build used."""
    definitions = {fit.position: fit.definition for fit in fits}

    def of(position: int, rows: ibis.Table) -> Statistics:
        if definitions[position] not in known:
            raise StorageError("a verb has not been fitted since its definition changed", hint="mainstem run")
        return known[definitions[position]].statistics

    return of


def _fits(node: Table, verbs: Sequence[Verb], typed: _Typed, inputs: Sequence[str], scope: Scope) -> tuple[Fit, ...]:
    """Return the fitted verbs. What they are fitted to is defined by the rows, the verbs before, and the inputs."""
    found = []
    for position, verb in enumerate(verbs):
        if verb.fitted:
            before = traced(typed.traces, verbs[:position])
            upstream = [scope.done[each].declared_fingerprint for each in inputs]
            meaning = (of_expression(typed.expression), *plain_verbs(verbs[: position + 1]), str(node.time))
            read = derived(before[column] for column in verb.columns)
            found.append(Fit(position, digest("fit", *meaning, *upstream), read.known))
    return tuple(found)


def _check_types(columns: Iterable[tuple[str, Any]], where: str) -> None:
    from mainstem.tables.resolve import check_columns as check

    check(columns, where)


def _computed(name: str, node: Table, build: ibis.Table, scope: Scope) -> ibis.Table:
    """Return the rows that a build would publish now, without those that it would set aside."""
    scope.recomputed.add(name)
    references: dict[Check, Any] = {}
    for check in node.checks:
        if isinstance(check, ForeignKey):
            to = scope.name_of(check.to, name)
            references[check] = build if to == name else scope.done[to].read
    return passing(Subject(build, node.checks, node.key, f"{name} ({node.origin})", references))


class _Typed(NamedTuple):
    expression: ibis.Table
    traces: Mapping[str, Trace]
    inputs: frozenset[str]
    joins: Sequence[Join] = ()


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
    if node.using is not None:
        from mainstem.tables import frames

        expression = frames.bind(node, seen)
        return _Typed(expression, trace(expression, scope.traces), inputs)
    if node.sql is None:
        from mainstem.tables.resolve import resolve_table

        with collecting() as joins:
            expression = resolve_table(node, name, seen)
        return _Typed(expression, trace(expression, scope.traces), inputs, joins)
    from mainstem.tables import sql

    expression = sql.bind(node.sql, seen, where, scope.types)
    return _Typed(expression, sql.trace(node.sql, seen, scope.traces, expression.columns), inputs)
