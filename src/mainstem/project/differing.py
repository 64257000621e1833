"""Compare what two branches or releases publish."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.errors import UnknownName
from mainstem.nodes.differences import Difference, TableDifference
from mainstem.nodes.records import Release
from mainstem.ports import Snapshot
from mainstem.project.branch import Branch
from mainstem.project.branches import named


def differences(
    branch: Branch, before: str, after: str, tables: Sequence[str] = (), *, data: bool = True
) -> Difference:
    """Return how `after`, a branch or a release, differs from `before`. With `data` rows are compared.

    Without names all tables are compared that the project declares or that both publish. Raises `NotFound` for an
    unknown branch or release, and `UnknownName` for a table that neither publishes.
    """
    old, new = named(branch, before), named(branch, after)
    known = {**old.tables, **new.tables}
    for name in tables:
        if name not in known:
            raise UnknownName.among("published relation", name, known)
    chosen = list(tables) or [name for name in known if name in branch.graph]
    found = tuple(_table(branch, name, old, new, data=data) for name in chosen)
    return Difference(before, after, found, {} if tables else _others(old, new), data)


def _table(branch: Branch, name: str, old: Release, new: Release, *, data: bool) -> TableDifference:
    before, after = old.tables.get(name), new.tables.get(name)
    rows = (before.rows if before else None, after.rows if after else None)
    if before is None or after is None:
        return TableDifference(name, "removed" if after is None else "added", rows)
    if _is_same(before, after):
        return TableDifference(name, "equal", rows)
    if not data:
        return TableDifference(name, "differs", rows)
    from mainstem.tables.differences import compare

    context = branch.reading("diff")
    key = getattr(branch.graph[name].node, "key", ()) if name in branch.graph else ()
    return compare(context.engine, name, context.scan(before), context.scan(after), key)


def _is_same(one: Snapshot, other: Snapshot) -> bool:
    return (one.physical, one.id) == (other.physical, other.id)


def _others(old: Release, new: Release) -> dict[str, tuple[str | None, str | None]]:
    pairs = {f"model {name}": (old.models.get(name), new.models.get(name)) for name in {**old.models, **new.models}}
    for name in {**old.endpoints, **new.endpoints}:
        pairs[f"endpoint {name}"] = (old.champion(name), new.champion(name))
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
