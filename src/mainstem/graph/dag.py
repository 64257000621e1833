"""A directed acyclic graph of names: order, ancestors, descendants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError as _Cycle
from graphlib import TopologicalSorter

from mainstem.errors import CycleError


class Dag:
    """Names and the names that each depends on. Raises `CycleError`, which names the cycle."""

    def __init__(self, needs: Mapping[str, Iterable[str]]) -> None:
        self.needs: dict[str, tuple[str, ...]] = {name: tuple(inputs) for name, inputs in needs.items()}
        try:
            self.order: tuple[str, ...] = tuple(TopologicalSorter(self.needs).static_order())
        except _Cycle as cycle:
            raise CycleError.through(list(reversed(cycle.args[1]))) from None
        self._users: dict[str, list[str]] = {name: [] for name in self.order}
        for name, inputs in self.needs.items():
            for needed in inputs:
                self._users[needed].append(name)

    def upstream(self, *names: str) -> frozenset[str]:
        """Return all names that `names` depend on, directly or not, without themselves."""
        return self._reach(names, self.needs)

    def downstream(self, *names: str) -> frozenset[str]:
        """Return all names that depend on `names`, directly or not, without themselves."""
        return self._reach(names, self._users)

    def users(self, name: str) -> tuple[str, ...]:
        """Return the names that depend on `name` directly."""
        return tuple(self._users[name])

    def _reach(self, names: Iterable[str], edges: Mapping[str, Iterable[str]]) -> frozenset[str]:
        seen: set[str] = set()
        stack = [edge for name in names for edge in edges[name]]
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                stack.extend(edges[name])
        return frozenset(seen)
