"""Feature views, compiled to their normal form. A run brings them online."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mainstem.graph.fingerprint import digest
from mainstem.nodes.base import NodeRef
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import FeatureView
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook, Reason
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.scope import Scope
from mainstem.tables.memory import Memory

if TYPE_CHECKING:
    from mainstem.features.views.compile import Using


class ViewKind(NodeKind[FeatureView]):
    node_type = FeatureView
    is_data = False

    def word(self, node: FeatureView) -> str:
        return "features"

    def references(self, node: FeatureView, memory: Memory | None = None) -> Sequence[NodeRef]:
        return [node.source, *(used.view for used in node.using)]

    def define(self, name: str, node: FeatureView, inputs: tuple[str, ...], scope: Scope) -> Definition:
        from mainstem.features.views.compile import compile_view

        scope.views[name] = compiled = compile_view(node, name, scope.done[inputs[0]], _using(name, node, scope))
        own = digest(compiled.fingerprint, *(scope.done[each].declared_fingerprint for each in inputs))
        read = digest(compiled.fingerprint, *(scope.done[each].read_fingerprint for each in inputs))
        return Definition(name, node, inputs, own, read, dict(compiled.schema), made=read, own=compiled.fingerprint)

    def due(self, name: str, node: FeatureView, outlook: Outlook) -> Iterable[Due]:
        return due("materialise", _reason(name, outlook), "online")


def _using(name: str, node: FeatureView, scope: Scope) -> Using:
    """Return a function from the columns of the source to the lookups of the views that it uses."""
    from mainstem.features.views.using import lookups

    name_of = partial(scope.name_of, where=name)
    return lambda given: lookups(node, given, name_of, scope.views.__getitem__)


def _reason(name: str, outlook: Outlook) -> Reason | None:
    if outlook.release.online.get(name) is None:
        return Reason("never brought online")
    if outlook.redefined(name):
        return Reason(outlook.redefinition(name))
    if name in outlook.situation.gone:
        return Reason("its online state is gone from the store")
    # Live events update the online state directly. A run adds rows that changed in the lake.
    return outlook.inputs(name, "materialise")
