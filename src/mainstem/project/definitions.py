"""A project's declarations, resolved against the schemas of schemas.lock, with remedies and cutovers in force."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any

from mainstem.errors import MainstemError
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Evolved, Graph
from mainstem.nodes.findings import Remedy, Rule
from mainstem.nodes.records import Release
from mainstem.nodes.sources import Source, Stream
from mainstem.planning.retries import repeated
from mainstem.project.evolved import evolved_in
from mainstem.project.kinds.scope import Schemas
from mainstem.project.resolve import resolve
from mainstem.project.running import retries_of
from mainstem.project.spreading import without_spread
from mainstem.project.wiring import Adapters
from mainstem.settings import Settings
from mainstem.tables.fitting import Fitted
from mainstem.tables.memory import Memory


def is_of(graph: Graph, release: Release) -> bool:
    """Return whether the contents of a release were made by these definitions. Nodes never made do not count."""
    changed = (d.name for d in graph if release.fingerprints.get(d.name, d.made_by) != d.made_by)
    return not any(changed) and all(name in graph for name in (*release.online, *release.endpoints))


REMEMBERED = 3


class Definitions:
    """The nodes of a project. `aliases` maps nodes that they refer to, to the names of nodes that replace them."""

    def __init__(
        self, settings: Settings, nodes: Mapping[str, Node], aliases: Mapping[Node, str], adapters: Adapters
    ) -> None:
        self.settings = settings
        self.nodes = nodes
        self.aliases = aliases
        self._adapters = adapters
        self._graphs: list[tuple[Any, Graph]] = []
        self._introspected: dict[str, Mapping[str, str]] = {}

    def graph(self, release: Release, until: datetime | None = None) -> Graph:
        """Return the graph as of a release, with the remedies in force, or with those accepted `until` then. The latest
        few are cached.

        What is broken in views, models and endpoints is left out of it. Raises `DefinitionError`.
        """
        rules = [remedy.rule for remedy in self.remedies if until is None or remedy.accepted_at <= until]
        key = (rules, dict(release.cutovers), evolved_in(release))
        found = next((graph for known, graph in self._graphs if known == key), None)
        if found is None:
            found = self.with_rules(rules, release)
            self._graphs = [(key, found), *self._graphs[: REMEMBERED - 1]]
        return found

    def with_rules(
        self,
        rules: Sequence[Rule],
        release: Release,
        recomputed: Collection[str] = (),
        statistics: Callable[[str], Mapping[str, Fitted]] = lambda table: {},
    ) -> Graph:
        """Return the graph with these rules in force, instead of remedies.toml's. Raises `DefinitionError`.

        Tables over `recomputed` are read as they would be built now, with the `statistics` that were fitted.
        """
        schemas = self._schemas()
        evolved = self._evolved(release)
        found = resolve(
            self.nodes,
            {n: {**schema, **{c: now for c, (_, now) in evolved.get(n, {}).items()}} for n, schema in schemas.items()},
            evolved=evolved,
            rules=rules,
            cutovers=release.cutovers,
            aliases=self.aliases,
            memory=self._memory,
            recomputed=recomputed,
            statistics=statistics,
            lenient=True,
        )
        return without_spread(found, self.settings.profile, self.settings.profile_name)

    def keep(self) -> None:
        """Write what was learned of new sources and queries: schemas.lock, and what follows from SQL."""
        from mainstem.sources.lock import write_lock

        if self._introspected:
            write_lock(self.settings.root / "schemas.lock", self._locked())
            self._introspected.clear()
        self._memory.save()

    def lock(self, release: Release) -> dict[str, Evolved]:
        """Write the schemas that sources have in a release to schemas.lock. Return what changed there, by source."""
        from mainstem.sources.lock import write_lock

        locked, evolved = self._locked(), self._evolved(release)
        more = {name: {**locked.get(name, {}), **{c: now for c, (_, now) in e.items()}} for name, e in evolved.items()}
        if more or self._introspected:
            write_lock(self.settings.root / "schemas.lock", {**locked, **more})
            self._introspected.clear()
            self._graphs.clear()
        return evolved

    def _evolved(self, release: Release) -> dict[str, Evolved]:
        """Return the columns of sources that runs added or widened, as far as schemas.lock still says what it said
        before, and the source does not declare them."""
        locked, found = self._locked(), dict[str, Evolved]()
        for name, columns in evolved_in(release).items():
            node = self.nodes.get(name)
            declared = (node.schema or {}) if isinstance(node, Source) else columns
            known = locked.get(name, {})
            still = {c: pair for c, pair in columns.items() if known.get(c) == pair[0] and c not in declared}
            found |= {name: still} if still else {}
        return found

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Return the accepted findings in remedies.toml."""
        from mainstem.feedback.remedies import read

        return read(self.settings.root / "remedies.toml")

    @cached_property
    def _memory(self) -> Memory:
        return Memory(self.settings.cache / "definitions.json")

    def _locked(self) -> dict[str, Mapping[str, str]]:
        from mainstem.sources.lock import read_lock

        return {**read_lock(self.settings.root / "schemas.lock"), **self._introspected}

    def _schemas(self) -> Schemas:
        """Return the schemas of schemas.lock. Missing sources are introspected once; `keep` adds them."""
        from mainstem.sources.inspection import introspect

        locked = self._locked()
        sources = {name: node for name, node in self.nodes.items() if isinstance(node, Source)}
        missing = [n for n, node in sources.items() if n not in locked and not isinstance(node, Stream)]
        for name in missing:
            try:
                retries, node = retries_of(self.settings), sources[name]
                look = partial(introspect, node, self.settings.root, self._adapters.engine)
                schema = repeated(look, retries.count if node.retries is None else node.retries, retries.wait)
                locked[name] = self._introspected[name] = schema
            except MainstemError as problem:
                raise problem.within(f"{name} ({sources[name].origin})") from None
        return {name: {**locked.get(name, {}), **(node.schema or {})} for name, node in sources.items()}
