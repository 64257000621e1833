"""From declarations to a `Graph`: names bound, expressions typed, knowledge and fingerprints derived. No data is read.

Three fingerprints are kept apart. A relation's `fingerprint` says how what is stored was made, and so changes with
whatever its inputs are read as. Its `read_fingerprint` adds what is done on reading: a remedy, a history. The declared
one, of models, knows neither: correcting a source's data is no new definition of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstem.checks.compiled import validate
from mainstem.errors import CycleError, DefinitionError, LeakError, SchemaError, UnknownName
from mainstem.graph.dag import Dag
from mainstem.graph.fingerprint import canonical, digest, of_expression
from mainstem.graph.known import ALWAYS
from mainstem.graph.lineage import trace
from mainstem.graph.traces import Trace
from mainstem.nodes.base import Node, NodeRef, shown
from mainstem.nodes.checks import Check
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.features import FeatureView, OnDemand, ViewUse
from mainstem.nodes.findings import Rule
from mainstem.nodes.hidden import ARRIVED, DELETED, GONE, SEQ, STREAM, is_hidden, visible, visible_names
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.models import Model
from mainstem.nodes.sources import Source, Stream
from mainstem.nodes.tables import Table
from mainstem.project.knowledge import known_of_source

if TYPE_CHECKING:
    import ibis

    from mainstem.features.views.view import CompiledView, Lookup
    from mainstem.tables.types import Types

Schemas = Mapping[str, Mapping[str, str]]


def resolve(
    nodes: Mapping[str, Node],
    schemas: Schemas,
    *,
    rules: Sequence[Rule] = (),
    cutovers: Mapping[str, datetime] | None = None,
    aliases: Mapping[Node, str] | None = None,
    types: Types | None = None,
) -> Graph:
    """Resolve declarations, given the locked schemas of the sources that declare none.

    `rules` are the remedies in force, `cutovers` the instants from which streams' events count, `aliases` the names of
    nodes that others stand in for, `types` what is remembered of the types of SQL. Raises `DefinitionError` and its
    kinds, each naming the node and its line.
    """
    return _Resolver(nodes, schemas, rules, cutovers or {}, aliases or {}, types).graph()


@dataclass
class _Resolver:
    nodes: Mapping[str, Node]
    schemas: Schemas
    rules: Sequence[Rule]
    cutovers: Mapping[str, datetime]
    aliases: Mapping[Node, str]
    types: Types | None = None
    done: dict[str, Definition] = field(default_factory=dict)
    declared: dict[str, str] = field(default_factory=dict)
    views: dict[str, CompiledView] = field(default_factory=dict)

    def graph(self) -> Graph:
        self._names = {**self.aliases, **{node: name for name, node in self.nodes.items()}}
        inputs = {name: self._inputs(name, node) for name, node in self.nodes.items()}
        try:
            dag = Dag(inputs)
        except CycleError as problem:
            raise problem.at("; ".join(f"{name} ({self.nodes[name].origin})" for name in problem.names)) from None
        for name in dag.order:
            node = self.nodes[name]
            try:
                self.done[name] = self._define(name, node, inputs[name])
            except DefinitionError as problem:
                raise problem.at(f"{name} ({node.origin})") from None
        graph = Graph(self.done, dag, self._names)
        self._check_models(graph)
        return graph

    # ── names ────────────────────────────────────────────────────────────────────────────────────────

    def _inputs(self, name: str, node: Node) -> tuple[str, ...]:
        where = f"{name} ({node.origin})"
        try:
            references = self._references(node)
        except DefinitionError as problem:
            raise problem.at(where) from None
        return tuple(dict.fromkeys(self._name(reference, where) for reference in references))

    def _references(self, node: Node) -> list[NodeRef]:
        match node:
            case Stream(history=history):
                return [] if history is None else [history]
            case Table(sql=str()):
                from mainstem.tables.sql import inputs

                return [*inputs(str(node.sql)), *_foreign(node.checks)]
            case Table():
                return [*(node.inputs.get(p, p) for p in node.parameters), *_foreign(node.checks)]
            case FeatureView():
                return [node.source, *(used.view for used in node.using)]
            case Model():
                views = [f.view if isinstance(f, ViewUse) else f for f in node.features]
                return [node.examples, *(v for v in views if isinstance(v, FeatureView))]
            case Endpoint():
                return [node.model]
        return []

    def _name(self, reference: Any, where: str) -> str:
        if isinstance(reference, str):
            if reference not in self.nodes:
                raise UnknownName.among("node", reference, self.nodes, where=where)
            return reference
        if not isinstance(reference, Node):
            undecorated = callable(reference) and not isinstance(reference, type)
            raise DefinitionError(
                "a node is made from what is no node",
                where=where,
                got=shown(reference),
                expected="a source, a table, a view or a model, or the name of one",
                hint="@ms.table makes a table of a function" if undecorated else None,
            )
        if reference not in self._names:
            raise DefinitionError(
                f"a {type(reference).__name__.lower()} is used that is not part of the project",
                where=where,
                got=str(reference.origin),
                hint="give it a name: assign it to an attribute of a module that mainstem.toml lists",
            )
        return self._names[reference]

    # ── definitions ──────────────────────────────────────────────────────────────────────────────────

    def _define(self, name: str, node: Node, inputs: tuple[str, ...]) -> Definition:
        match node:
            case Source():
                return self._source(name, node, inputs)
            case Table():
                return self._table(name, node, inputs)
            case FeatureView():
                return self._view(name, node, inputs)
            case Model():
                return self._model(name, node, inputs)
        own = digest(type(node).__name__, *(self.done[i].fingerprint for i in inputs))
        return Definition(name, node, inputs, own, own)

    def _source(self, name: str, node: Source, inputs: tuple[str, ...]) -> Definition:
        declared = dict(self.schemas.get(name) or node.schema or {})
        if not declared:
            raise SchemaError("the source has no schema yet", hint="mainstem run, or schema={…}")
        _check_columns(node, declared)
        live, changes = isinstance(node, Stream), isinstance(node, Stream) and node.changes
        added = (SEQ if node.time else None, ARRIVED if live else None, DELETED if changes else None)
        hidden = {column: STREAM[column] for column in added if column}
        stored = _unbound(name, {**declared, **hidden})
        known = known_of_source(node, _unbound(name, declared))
        read, fingerprint = stored, digest("source", _plain(node, but=("known",)), canonical(declared))
        self.declared[name] = digest(fingerprint, canonical({c: str(k) for c, k in known.items()}))
        marks = [self.declared[name]]
        if changes:
            read = _versions(read, node.key)
        if isinstance(node, Stream) and inputs:
            read = self._united(name, node, read, inputs[0])
            marks.append(self.done[inputs[0]].read_fingerprint)
        rules = [rule for rule in self.rules if rule.node == name]
        if rules:
            from mainstem.feedback.remedies import apply

            read = apply(read, rules)
            marks += [canonical(_plain_rule(rule)) for rule in rules]
        columns = {column: (f"{name}.{column}",) for column in declared}
        versions = read if changes else None
        read = read.filter(read[GONE].isnull()).drop(GONE) if changes else read
        schema, reads = _types(stored), digest(*marks)
        return Definition(name, node, inputs, fingerprint, reads, schema, None, read, known, columns, versions)

    def _united(self, name: str, node: Stream, events: ibis.Table, history: str) -> ibis.Table:
        """History before the cutover, events from it on: no event on both sides, none on neither."""
        import ibis

        past = self.done[history].read
        assert past is not None
        missing = [c for c in events.columns if c not in past.columns and not is_hidden(c)]
        if missing:
            raise SchemaError(
                f"the history {history!r} lacks columns of the stream",
                got=", ".join(past.columns),
                expected=", ".join(visible_names(events.columns)),
            )
        given = {c: past[c] for c in visible_names(events.columns)}
        unlike = [c for c, column in given.items() if not column.type().castable(events[c].type())]
        if unlike:
            raise SchemaError(
                f"{unlike[0]!r} has another type in the history {history!r}",
                got=str(past[unlike[0]].type()),
                expected=str(events[unlike[0]].type()),
            )
        time = str(node.time)
        values = {**given, SEQ: ibis.null("int64"), ARRIVED: past[time], GONE: ibis.null(INSTANT)}
        past = past.select(**{c: values[c].cast(events[c].type()) for c in events.columns})
        cutover: Any = self.cutovers.get(name)
        if cutover is None:
            return past.union(events)
        instant = ibis.literal(cutover).cast(events[time].type())
        return past.filter(past[time] < instant).union(events.filter(events[time] >= instant))

    def _table(self, name: str, node: Table, inputs: tuple[str, ...]) -> Definition:
        where = f"{name} ({node.origin})"
        if node.sql is not None:
            from mainstem.tables import sql

            names = {i: i for i in sql.inputs(node.sql)}
            seen = {i: self._visible(i) for i in names}
            declared = sql.bind(node.sql, seen, where, self.types)
            traces = sql.trace(node.sql, seen, self._traces, declared.columns)
        else:
            from mainstem.tables.resolve import resolve_table

            names = {p: self._name(node.inputs.get(p, p), where) for p in node.parameters}
            declared = resolve_table(node, name, {p: self._visible(i) for p, i in names.items()})
            traces = trace(declared, self._traces)
        schema = _types(declared)
        _check_columns(node, schema)
        for column in node.assume_known:
            if column not in schema:
                raise UnknownName.among("column", column, schema)
        known = {c: ALWAYS if c in node.assume_known else t.known for c, t in traces.items()}
        columns = {c: tuple(sorted(t.sources)) for c, t in traces.items()}
        own = digest("table", of_expression(declared), _plain(node, but=("function", "sql", "inputs", "assume_known")))
        self.declared[name] = digest(own, *(self.declared[i] for i in inputs))
        fingerprint = digest(own, *(self.done[i].read_fingerprint for i in inputs))
        build = self._over_stored(declared, set(names.values()))
        read = _unbound(name, schema)
        return Definition(name, node, inputs, fingerprint, fingerprint, schema, build, read, known, columns)

    def _view(self, name: str, node: FeatureView, inputs: tuple[str, ...]) -> Definition:
        from mainstem.features.views.compile import compile_view
        from mainstem.features.views.using import lookups

        source = self.done[inputs[0]]
        views = self.views

        def using(given: Mapping[str, str]) -> tuple[Lookup, ...]:
            return lookups(node, given, lambda used: self._name(used, name), views.__getitem__)

        views[name] = compiled = compile_view(node, name, source, using)
        self.declared[name] = digest(compiled.fingerprint, *(self.declared[i] for i in inputs))
        read = digest(compiled.fingerprint, *(self.done[i].read_fingerprint for i in inputs))
        return Definition(name, node, inputs, self.declared[name], read, dict(compiled.schema))

    def _model(self, name: str, node: Model, inputs: tuple[str, ...]) -> Definition:
        examples = self._visible(inputs[0])
        _check_prediction_time(node, examples)
        parts = [_feature(feature, self._names) for feature in node.features]
        # What a model assumes known changes its checks, and no data.
        written = ("examples", "features", "prediction_time", "target", "assume_known")
        own = digest("model", _plain(node, but=written), *parts, *_resolved(node, examples))
        self.declared[name] = digest(own, *(self.declared[i] for i in inputs))
        return Definition(name, node, inputs, self.declared[name], self.declared[name])

    def _check_models(self, graph: Graph) -> None:
        for name in graph.of(Model):
            from mainstem.features.dataset import check_assumed, check_leaks
            from mainstem.features.keys import check_keys

            try:
                check_assumed(graph, name)
                check_keys(graph, name)
                check_leaks(graph, name)
            except (LeakError, SchemaError, UnknownName) as problem:
                raise problem.at(graph[name].where) from None
        if graph.of(Model):
            from mainstem.features.fallbacks import check_fallbacks

            check_fallbacks(graph)

    # ── relations ────────────────────────────────────────────────────────────────────────────────────

    def _visible(self, name: str) -> ibis.Table:
        """A node as a user's function sees it: an unbound table of its name, without hidden columns."""
        definition = self.done[name]
        if definition.schema is None or definition.read is None:
            raise DefinitionError(f"{name!r} is not a relation", hint="a table reads sources and tables")
        return _unbound(name, visible(definition.schema))

    def _traces(self, name: str) -> dict[str, Trace]:
        definition = self.done[name]
        return {c: Trace(frozenset(definition.columns[c]), known) for c, known in definition.known.items()}

    def _over_stored(self, declared: ibis.Table, names: set[str]) -> ibis.Table:
        """The same expression with each node replaced by what reading it means."""
        exchange = {}
        for name in names:
            seen, read = self._visible(name), self.done[name].read
            assert read is not None
            exchange[seen.op()] = read.select(*seen.columns).op()
        built: ibis.Table = declared.op().replace(exchange).to_expr()
        return built


def _versions(log: ibis.Table, key: Sequence[str]) -> ibis.Table:
    """The rows that were ever there, each with the arrival of the change that took it back, or null: in the order of
    landing, what follows a row of its key is a deletion of it, or leaves it as it is."""
    import ibis

    following = ibis.window(group_by=list(key), order_by=SEQ)
    taken_back = log[DELETED].lead().over(following).fill_null(False)
    gone = taken_back.ifelse(log[ARRIVED].lead().over(following), ibis.null(log[ARRIVED].type()))
    rows: ibis.Table = log.mutate(**{GONE: gone})
    return rows.filter(~rows[DELETED]).drop(DELETED)


def _unbound(name: str, schema: Mapping[str, str]) -> ibis.Table:
    import ibis

    return ibis.table(dict(schema), name=name)


def _types(table: ibis.Table) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in table.schema().items()}


def _foreign(checks: Sequence[Check]) -> list[NodeRef]:
    return [check.to for check in checks if hasattr(check, "to")]


def _check_columns(node: Source | Table, schema: Mapping[str, str]) -> None:
    for column in (*node.key, *([node.time] if node.time else [])):
        if column not in schema:
            raise UnknownName.among("column", column, schema)
    if node.time and not schema[node.time].startswith("timestamp('UTC'"):
        raise SchemaError(
            f"the time {node.time!r} is not an instant",
            got=schema[node.time],
            expected=INSTANT,
            hint="give it a time zone: a naive timestamp could mean any",
        )
    if node.checks:
        validate(_unbound("checked", schema), node.checks)


def _check_prediction_time(node: Model, examples: ibis.Table) -> None:
    from mainstem.nodes.expressions import resolve_column

    value = resolve_column(examples, node.prediction_time)
    kind = value.type()
    naive = kind.is_timestamp() or kind.is_date()
    if naive and (_is_utc(kind) or _is_of_instants(value)):
        return
    instants = [c for c, t in examples.schema().items() if _is_utc(t)]
    raise SchemaError(
        f"the prediction time {node.prediction_time!r} is not an instant",
        got=str(kind),
        expected=INSTANT,
        hint=f'if it is UTC, say so: (…).cast("{INSTANT}")' if naive else _one_of(instants),
    )


def _is_of_instants(value: Any) -> bool:
    """Whether a day or a naive timestamp is rounded from instants: Ibis forgets their zone on the way."""
    import ibis.expr.operations as ops

    times = [field.dtype for field in value.op().find(ops.Field)]
    through = [cast.to for cast in value.op().find(ops.Cast)]
    return bool(times) and all(map(_is_utc, times)) and all(kind.is_temporal() for kind in through)


def _is_utc(kind: Any) -> bool:
    return bool(kind.is_timestamp() and kind.timezone == "UTC")


def _one_of(instants: Sequence[str]) -> str:
    return f"instants of the examples: {', '.join(instants)}" if instants else "the examples need an instant"


def _plain(node: Any, but: Sequence[str] = ()) -> str:
    """What a declaration says, without how it is called, described or where it stands."""
    skipped = {"name", "description", "owner", "origin", "function", *but}
    return canonical({f.name: _value(getattr(node, f.name)) for f in fields(node) if f.name not in skipped})


def _value(value: Any) -> Any:
    if isinstance(value, Check):
        return {"check": type(value).__name__, **{f.name: _value(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, Node):
        return value.name
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items()}
    return [_value(item) for item in value] if isinstance(value, (tuple, list)) else value


def _plain_rule(rule: Rule) -> dict[str, Any]:
    return {f.name: getattr(rule, f.name) for f in fields(rule)}


def _feature(feature: Any, names: Mapping[Node, str]) -> str:
    match feature:
        case ViewUse():
            return f"{names.get(feature.view)} on {', '.join(feature.on)}"
        case FeatureView():
            return str(names.get(feature))
        case OnDemand():
            return canonical({name: repr(value) for name, value in feature.features.items()})
    return str(feature)


def _resolved(node: Model, examples: ibis.Table) -> list[str]:
    from mainstem.nodes.expressions import resolve_column

    values = [resolve_column(examples, value) for value in (node.prediction_time, node.target)]
    return [of_expression(value) for value in values]
