"""What models vouch for: columns of a view that are to count as known at any time, because somebody says why they may.

A view has one online state, and one history that datasets look into. So what is vouched for is a property of the view:
all models that use it say the same, or what one of them vouches for would leak into the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from mainstem.errors import DefinitionError
from mainstem.features.views.compile import compile_view
from mainstem.features.views.using import NameOf, lookups
from mainstem.features.views.view import CompiledView
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import FeatureView, ViewUse, use
from mainstem.nodes.models import Model

Models = Mapping[str, Model]


def compile_vouched(
    node: FeatureView,
    name: str,
    source: Definition,
    models: Models,
    name_of: NameOf,
    compiled: Callable[[str], CompiledView],
) -> CompiledView:
    """A view in its normal form, with what `models` vouch for; `compiled` has those that it uses.

    Raises as `compile_view` does, and `DefinitionError` where models that use it would have its rows usable at
    different times.
    """
    users: dict[frozenset[str], list[str]] = {}
    for model, columns in _vouched(name, models, name_of):
        users.setdefault(columns, []).append(model)
    using = partial(lookups, node, name_of=name_of, compiled=compiled)
    made = [(compile_view(node, name, source, columns, using), columns) for columns in users or [frozenset()]]
    for view, columns in made[1:]:
        if view.fingerprint != made[0][0].fingerprint:
            (one, other) = (_said(users[c], c) for c in (made[0][1], columns))
            raise DefinitionError(
                f"two uses of the view {name!r} do not agree on when its rows may be used",
                where=f"{name} ({node.origin})",
                got=f"{one}; {other}",
                expected="the same assume_known for every use",
                hint="say so in each, or declare the view a second time for the one that vouches",
            )
    return made[0][0]


def uses(model: Model, name_of: NameOf) -> Iterator[tuple[str, ViewUse]]:
    """The views that a model uses: each name, and how it is used."""
    for feature in model.features:
        if isinstance(feature, (FeatureView, ViewUse)):
            used = use(feature)
            yield name_of(used.view), used


def _vouched(view: str, models: Models, name_of: NameOf) -> Iterator[tuple[str, frozenset[str]]]:
    """For each use of a view the columns vouched for: `leg__tailnum` in a model's `assume_known` is `tailnum`."""
    for model, node in models.items():
        for name, used in uses(node, name_of):
            if name == view:
                prefix = f"{used.prefix(name)}__"
                found = (column for column in node.assume_known if column.startswith(prefix))
                yield model, frozenset(column.removeprefix(prefix) for column in found)


def _said(models: list[str], columns: frozenset[str]) -> str:
    return f"{', '.join(models)} vouches for {', '.join(sorted(columns)) or 'nothing'}"
