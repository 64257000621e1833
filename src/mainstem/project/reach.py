"""Which columns, features, models and endpoints a change of one node reaches, by column lineage."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mainstem.graph.columns import Leaf, Marks, marks, reached
from mainstem.nodes.changes import Reached
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import visible_names
from mainstem.nodes.tables import Table
from mainstem.project.kinds import KINDS


def reach(graph: Graph, name: str, columns: Collection[str], *, rows: bool) -> tuple[Reached, ...]:
    """Return the nodes that a change of the `columns` of a node reaches; with `rows`, a change of its rows too.

    Nodes that read none of these columns are left out. What cannot be traced counts as reached.
    """
    walk = _Reach(graph, name, columns, rows)
    downstream = graph.dag.downstream(name)
    return tuple(found for each in graph if each.name in downstream and (found := walk.of(each)) is not None)


class _Reach:
    """The marks of the nodes from a changed one on, in dependency order. Other nodes are unmarked."""

    def __init__(self, graph: Graph, name: str, columns: Collection[str], rows: bool) -> None:
        self.graph = graph
        known = {*columns, *(graph[name].schema or {})}
        self.marks: dict[str, Marks[bool]] = {name: Marks(rows, {c: rows or c in columns for c in known})}

    def of(self, definition: Definition) -> Reached | None:
        found = self._marks(definition)
        if not any(found.whole):
            return None
        self.marks[definition.name] = found
        names = visible_names([column for column, mark in found.columns.items() if mark])
        kind = KINDS.of(definition.node).word(definition.node)
        return Reached(definition.name, kind, () if found.rows else tuple(names), found.rows)

    def _marks(self, definition: Definition) -> Marks[bool]:
        if isinstance(definition.node, Table) and definition.build is not None:
            from mainstem.tables.marks import marks_of

            return marks_of(definition, self._leaf, reached)
        if isinstance(definition.node, FeatureView):
            return self._of_view(definition)
        if definition.read is not None:
            return marks(definition.read, self._leaf, reached)
        return Marks(any(any(self._known(each).whole) for each in definition.inputs), {})

    def _of_view(self, definition: Definition) -> Marks[bool]:
        from mainstem.features.retrieval import compiled

        view = compiled(self.graph, definition.name)
        events = marks(view.events, self._leaf_of_view(definition), reached)
        every = events.rows or any(
            mark for column, mark in events.columns.items() if column not in view.arguments and column != "_arrived"
        )
        values = {each.name: any(events.columns[column] for column in each.arguments) for each in view.features}
        return Marks(every, {name: every or mark for name, mark in values.items()})

    def _leaf_of_view(self, definition: Definition) -> Leaf[bool]:
        """Return the marks of what a view's events are computed from: a stored relation, or rows with other views."""

        def leaf(name: str, columns: Sequence[str]) -> Marks[bool]:
            if name in self.graph:
                return self._leaf(name, columns)
            touched = any(any(self._known(each).whole) for each in definition.inputs)
            return Marks(touched, dict.fromkeys(columns, touched))

        return leaf

    def _leaf(self, name: str, columns: Sequence[str]) -> Marks[bool]:
        known = self._known(name)
        return Marks(known.rows, {column: known.rows or known.columns.get(column, False) for column in columns})

    def _known(self, name: str) -> Marks[bool]:
        return self.marks.get(name, Marks(False, {}))
