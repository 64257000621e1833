"""Tables: a function or SQL, typed over its inputs. A run builds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstem.checks.quarantine import passing
from mainstem.checks.violations import Subject
from mainstem.errors import SettingsError, StorageError, UnknownName
from mainstem.graph.fingerprint import digest, of_expression
from mainstem.graph.known import ALWAYS, Known
from mainstem.graph.lineage import trace
from mainstem.graph.traces import Trace, derived
from mainstem.nodes.base import NodeRef
from mainstem.nodes.checks import Check, ForeignKey
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.joins import Join, collecting
from mainstem.nodes.later import Later
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
from mainstem.tables.memory import Memory, key_of
from mainstem.tables.purity import pure

if TYPE_CHECKING:
    import ibis

# The expression includes the function, the SQL and the inputs. `assume_known`, `sort` and `partition` do not change
# rows.
WRITTEN = ("function", "sql", "inputs", "assume_known", "clean", "using", "schema", "sort", "partition")

# What only says how much of the table a run builds.
_BUILT = ("incremental", "interval", "lookback", "write", "versions")


class TableKind(NodeKind[Table]):
    node_type = Table

    def references(self, node: Table, memory: Memory | None = None) -> Sequence[NodeRef]:
        others = (check.to for check in node.checks if isinstance(check, ForeignKey))
        return [*_read(node, memory).values(), *(to for to in others if to not in (node, node.name))]

    def define(self, name: str, node: Table, inputs: tuple[str, ...], scope: Scope) -> Definition:
        place, verbs = f"{name} ({node.origin})", _loaded(node)
        names = {said: scope.name_of(each, place) for said, each in _read(node, scope.memory).items()}
        over = frozenset(names.values())
        known: list[Facts] = []
        text, same = _text(node, scope)
        typed = Later(lambda: _typed(name, same, names, scope, known[0].rows if known else None))
        facts = _facts(node, text, names, scope, lambda: _found(node, typed(), verbs, place))
        known.append(facts)
        fits = _fits(node, verbs, typed(), inputs, scope) if verbs else ()
        raw = Later(lambda: scope.over_stored(typed().expression, over))
        build = Later(lambda: _cleaned(name, node, raw(), verbs, fits, over, scope)) if verbs else raw
        fingerprint = digest(facts.own, *(scope.done[each].read_fingerprint for each in inputs))
        is_recomputed = bool(scope.recomputed & over) and node.using is None and not node.versions
        return Definition(
            name,
            node,
            inputs,
            fingerprint,
            fingerprint,
            facts.schema,
            build=build,
            read=_computed(name, node, build(), scope) if is_recomputed else Later(lambda: unbound(name, facts.schema)),
            known=facts.known,
            columns=facts.columns,
            own=facts.own,
            declared=digest(facts.own, *(scope.done[each].declared_fingerprint for each in inputs)),
            raw=raw if verbs else None,
            fits=fits,
            clean=verbs,
            aside=facts.aside,
            joins=tuple(join.over(lambda rows: scope.over_stored(rows, over)) for join in typed().joins)
            if text is None
            else (),
            opens=None if is_recomputed else frozenset({name}),
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
    over: frozenset[str],
    scope: Scope,
) -> ibis.Table:
    """Return the cleaned rows. Statistics and secrets are those of a run only if the table is recomputed."""
    place = f"{name} ({node.origin})"
    if not scope.recomputed & over:
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
    found, traces = [], typed.trace()
    for position, verb in enumerate(verbs):
        if verb.fitted:
            before = traced(traces, verbs[:position])
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
    trace: Callable[[], Mapping[str, Trace]]
    joins: Sequence[Join] = ()


@dataclass(frozen=True)
class Facts:
    """What follows from a table's text, its declaration and its inputs' columns, as plain data.

    `rows` are the columns before a history adds its own; the others are those of `Definition`.
    """

    rows: Mapping[str, str]
    schema: Mapping[str, str]
    known: Mapping[str, Known]
    columns: Mapping[str, tuple[str, ...]]
    own: str
    aside: Mapping[str, str] | None = None


def _text(node: Table, scope: Scope) -> tuple[str | list[Any] | None, Table]:
    """Return all that a table's expression follows from beside its inputs, and a table that makes this expression also
    later. None if that is more than a text: verbs may read files, and functions anything.

    A table with a text has no declared joins.
    """
    if scope.memory is None or node.clean or node.using is not None:
        return None, node
    if node.sql is not None:
        return node.sql, node
    found = pure(node.function)
    return (None, node) if found is None else (found[0], replace(node, function=found[1]))


def _facts(
    node: Table, text: str | list[Any] | None, names: Mapping[str, str], scope: Scope, find: Callable[[], Facts]
) -> Facts:
    """Return the facts of a table, from memory if they follow from its `text`."""
    declared = "" if text is None else plain(node, but=("sql", "inputs"))
    if scope.memory is None or text is None or " at 0x" in declared:  # the address of an object says nothing of it
        return find()
    looks = [(said, scope.look(each)) for said, each in names.items()]
    return scope.memory.of(key_of("facts", text, declared, looks), Facts, find)


def _found(node: Table, typed: _Typed, verbs: Sequence[Verb], place: str) -> Facts:
    """Return the facts of a table. Raises `DefinitionError` and its kinds."""
    published = cleaned(typed.expression, verbs, place, time=node.row_time).rows if verbs else typed.expression
    rows = types_of(published)
    traces = history_traces(node, traced(typed.trace(), verbs))
    schema = history_schema(node, verbs, rows, place)
    if verbs:
        _check_types(published.schema().items(), place)
    check_columns(node, schema)
    check_intervals(node, verbs, schema, place)
    for column in node.assume_known:
        if column not in schema:
            raise UnknownName.among("column", column, schema)
    said = (each for join in typed.joins for each in plain_join(join))
    how = (node.write, str(node.incremental)) if node.write else ("versions",) if node.versions else ()
    what = plain(node, but=(*WRITTEN, *_BUILT))
    own = digest("table", of_expression(typed.expression), what, *plain_verbs(verbs), *said, *how)
    return Facts(
        rows,
        schema,
        {c: ALWAYS if c in node.assume_known else traces[c].known for c in schema},
        {c: tuple(sorted(traces[c].sources)) for c in schema},
        own,
        schema_aside(types_of(typed.expression), rows) if verbs else rows if node.versions else None,
    )


def _read(node: Table, memory: Memory | None = None) -> dict[str, NodeRef]:
    """Return the references of the FROM clauses or of the function's parameters."""
    if node.sql is None:
        return {parameter: node.inputs.get(parameter, parameter) for parameter in node.parameters}
    sql = node.sql

    def parsed() -> tuple[str, ...]:
        from mainstem.tables.sql import inputs

        return inputs(sql)

    found = parsed() if memory is None else memory.of(key_of("inputs", sql), tuple[str, ...], parsed)
    return {name: name for name in found}


def _typed(
    name: str, node: Table, names: Mapping[str, str], scope: Scope, schema: Mapping[str, str] | None = None
) -> _Typed:
    """Return the table as an expression over its inputs as a user sees them, and the traces of its columns. `schema`
    is that of a SQL table's rows, if it is known."""
    where = f"{name} ({node.origin})"
    seen = {said: scope.visible(each) for said, each in names.items()}
    if node.using is not None:
        from mainstem.tables import frames

        expression = frames.bind(node, seen)
        return _Typed(expression, lambda: trace(expression, scope.traces))
    if node.sql is None:
        from mainstem.tables.resolve import resolve_table

        with collecting() as joins:
            expression = resolve_table(node, name, seen)
        return _Typed(expression, lambda: trace(expression, scope.traces), joins)
    from mainstem.tables import sql

    text = node.sql
    expression = sql.bind(text, seen, where, scope.memory, schema)
    return _Typed(expression, lambda: sql.trace(text, seen, scope.traces, expression.columns))
