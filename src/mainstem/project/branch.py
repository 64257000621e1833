"""One branch of a project: its definitions, its release, and contexts to read it. All helpers work on a Branch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, Self

from mainstem.errors import NotFound, UnknownName
from mainstem.nodes.base import Node
from mainstem.nodes.declared import declared
from mainstem.nodes.definition import Evolved, Graph
from mainstem.nodes.findings import Finding, Remedy, Rule
from mainstem.nodes.kinds import a, anything, mapping, optional, text
from mainstem.nodes.notebook import html, line
from mainstem.nodes.records import Release, Sample
from mainstem.nodes.statistics import Statistics, statistics_id
from mainstem.planning.execution import Context
from mainstem.planning.plan import Plan
from mainstem.planning.planner import plan
from mainstem.project.backfill import Moment, span_of
from mainstem.project.definitions import Definitions, is_of
from mainstem.project.explain import changed
from mainstem.project.exploring import Explorer
from mainstem.project.integrity import damaged_files
from mainstem.project.kinds import KINDS
from mainstem.project.reading import Relation
from mainstem.project.releases import MAIN, Releases, When
from mainstem.project.situation import situation
from mainstem.project.wiring import Adapters
from mainstem.project.written import notes
from mainstem.settings import Settings
from mainstem.tables.fitting import kept

KEEP: Final = "keep"
"""The sample that a branch works on already."""


class Branch:
    """A project's definitions on one branch, resolved with the release and the remedies in force.

    Definitions are resolved on first use, and again after the branch's release or the accepted remedies change.
    """

    @declared(
        self=anything,
        settings=a(Settings, "ms.load(…) reads mainstem.toml"),
        nodes=mapping(a(Node, "a source, table, view, model or endpoint")),
        branch=text,
        aliases=optional(anything),
        read=optional(anything),
    )
    def __init__(
        self,
        settings: Settings,
        nodes: Mapping[str, Node],
        *,
        branch: str = MAIN,
        aliases: Mapping[Node, str] | None = None,
        read: Callable[[], Mapping[str, Node]] | None = None,
    ) -> None:
        """Create a branch.

        `aliases` maps nodes that definitions refer to, to the names of `nodes` that replace them, as in tests. `read`
        loads the nodes again from the project's files.
        """
        self.settings = settings
        self.branch = branch
        self.adapters = Adapters(settings, branch)
        self._definitions = Definitions(settings, nodes, aliases or {}, self.adapters)
        self._read = read
        self._releases = Releases(self.adapters, branch)
        self.explorer = Explorer(lambda: self.adapters.engine)

    def __repr__(self) -> str:
        release = self.release.id or "nothing published"
        return line("Project", self.settings.project.name, f"branch {self.branch}", release, f"{len(self.nodes)} nodes")

    def _repr_html_(self) -> str:
        tables = self.release.tables
        rows = [
            {
                "node": name,
                "kind": KINDS.of(node).word(node),
                "rows": f"{tables[name].rows:,}" if name in tables else "",
                "description": node.description,
            }
            for name, node in self.nodes.items()
        ]
        about = f"branch {self.branch}, {self.release.id or 'nothing published'}"
        return html(self.settings.project.name, about, rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close stores and connections."""
        self.explorer.close()
        self.adapters.close()

    def on(self, branch: str) -> Self:
        """Return the project on another branch. Close it when it is not needed any more."""
        aliases = self._definitions.aliases
        return type(self)(self.settings, self.nodes, branch=branch, aliases=aliases, read=self._read)

    # ── definitions ──────────────────────────────────────────────────────────────────────────────────

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The declarations by name."""
        return self._definitions.nodes

    @property
    def graph(self) -> Graph:
        """The project, resolved with the remedies and cutovers in force. Raises `DefinitionError`."""
        return self.sound.whole()

    @property
    def sound(self) -> Graph:
        """The same, without the views, models and endpoints whose definition is broken: work on data needs no more.

        Raises `DefinitionError` for a source or a table.
        """
        return self._definitions.graph(self.release)

    def graph_of(self, release: Release) -> Graph:
        """Return the project as of the release. It is loaded again if it has changed since. Raises
        `DefinitionError`."""
        graph = self._definitions.graph(release).whole()
        if self._read is None or is_of(graph, release):
            return graph
        again = Definitions(self.settings, self._read(), {}, self.adapters)
        graph = again.graph(release).whole()
        self._definitions = again
        return graph

    def keep_definitions(self) -> None:
        """Write what loading has learned of new sources and of SQL: schemas.lock, and a cache of types."""
        self._definitions.keep()

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """The accepted findings in remedies.toml."""
        return self._definitions.remedies

    def with_rules(self, rules: Sequence[Rule]) -> Graph:
        """Return the project resolved with more remedies than it has. Raises `DefinitionError`.

        Tables over the corrected sources are read as a build with these remedies would make them.
        """
        in_force = [*(remedy.rule for remedy in self.remedies), *rules]
        return self._definitions.with_rules(
            in_force,
            self.release,
            {rule.node for rule in rules},
            lambda table: kept(self.reading("replay"), table),
        )

    def lock(self) -> dict[str, Evolved]:
        """Write the schemas that sources have now to schemas.lock. Return the columns that changed there, by source:
        the type before, None for a new column, and the present one."""
        return self._definitions.lock(self.release)

    # ── what it publishes ────────────────────────────────────────────────────────────────────────────

    @property
    def release(self) -> Release:
        """The release that the branch publishes. Before the first run it is empty, with the id ""."""
        return self._releases.current

    def releases(self) -> list[Release]:
        """Return the branch's releases, newest first, including those before its fork."""
        return self._releases.history()

    def claim(self) -> Release:
        """Return the branch's release. A branch without one is forked from main."""
        return self._releases.claim()

    def republish(self, content: Release) -> Release:
        """Publish the content as a new release of the branch."""
        return self._releases.publish(content)

    def findings(self, state: str | None = None) -> list[Finding]:
        """Return the branch's findings, oldest first, perhaps only those in one state."""
        found = self.adapters.state.find(Finding, branch=self.branch)
        return [finding for finding in found if state in (None, finding.state)]

    def plan(
        self,
        select: str | None = None,
        *,
        look: bool = True,
        full_refresh: bool = False,
        start: Moment | None = None,
        end: Moment | None = None,
        explain: bool = False,
        sample: Sample | Literal["keep"] | None = KEEP,
        reingest: frozenset[str] = frozenset(),
    ) -> Plan:
        """Return what `run` would do, and why.

        With `look=False` no source is contacted: each counts as it was when the last run collected it. With
        `full_refresh` every selected table is built from all rows of its inputs and sources with a cursor are read from
        the beginning, and with `start` the selected incremental tables build all intervals from then to before `end`,
        and sources read the rows of that span. With `explain` the plan has the
        `changed` definitions: their text diffs, and what they reach. `reingest` are sources whose rows that were set
        aside are to come in again. `sample` is what the branch is to work on, by
        default what it works on now. Raises `UnknownName`, and
        `DefinitionError` or `NotFound` for a span without intervals.
        """
        return self._planned(
            self.sound, self.release, select, look, full_refresh, start, end, explain, sample, reingest
        )

    def replanned(
        self,
        release: Release,
        select: str | None,
        full_refresh: bool,
        start: Moment | None,
        end: Moment | None,
        sample: Sample | None,
    ) -> tuple[Graph, Plan]:
        """Return the definitions and the plan as of a release in the making: a run changed the schema of a source.

        Raises `DefinitionError` if the definitions do not fit the new schema.
        """
        graph = self._definitions.graph(release)
        return graph, self._planned(graph, release, select, False, full_refresh, start, end, False, sample)

    def _planned(
        self,
        graph: Graph,
        release: Release,
        select: str | None,
        look: bool,
        full_refresh: bool,
        start: Moment | None,
        end: Moment | None,
        explain: bool,
        sample: Sample | Literal["keep"] | None,
        reingest: frozenset[str] = frozenset(),
    ) -> Plan:
        between = span_of(graph, start, end, select, full_refresh)
        for name in [term.strip("+") for term in (select or "").replace(",", " ").split()]:
            if name in graph.broken:
                raise graph.broken[name]
        seen = situation(graph, release, self.settings.root, self.adapters, look=look)
        seen = replace(seen, refresh=full_refresh, between=between, sample=release.sample if sample == KEEP else sample)
        seen = replace(seen, reingest=reingest)
        made = replace(plan(graph, seen, KINDS, select), branch=self.branch, sample=seen.sample)
        taken_back = self.taken_back(seen.release)
        broken = () if select else tuple(dict.fromkeys(graph.broken.values()))
        made = replace(made, rolled_back=taken_back, broken=broken)
        return replace(made, changed=changed(graph, seen, made)) if explain else made

    def taken_back(self, release: Release) -> str | None:
        """Return the release that a release of this branch took back."""
        return release.rolled_back if release.branch == self.branch else None

    def reading(self, purpose: str) -> Context:
        """Return a context that reads the published release."""
        return self.context(purpose, self.release)

    def context(self, run: str, release: Release, graph: Graph | None = None) -> Context:
        """Return a context that reads a release, with the present definitions unless others are given."""
        a = self.adapters
        bad = damaged_files(a.state)
        of = graph or self.sound
        made = Context(run, self.branch, of, release, a.engine, a.lake, a.state, damaged=bad)
        made.note = lambda node: notes(made.graph, node)
        return made

    def table(self, name: str) -> Relation:
        """Return a published relation: a source, a table, or `quarantine.NAME`. Raises `UnknownName`."""
        return Relation(self.reading("read"), name, self._past, self.explorer)

    def statistics(self, name: str) -> Statistics:
        """Return what was counted of a source's or table's published rows when they were collected or built.

        Raises `UnknownName`, and `NotFound` if nothing was counted.
        """
        snapshot = self.release.tables.get(name)
        if snapshot is None:
            raise UnknownName.among("published relation", name, self.release.tables)
        found = self.adapters.state.get(Statistics, statistics_id(snapshot))
        if found is None:
            raise NotFound(
                f"no statistics were kept of {name!r}",
                expected="a source, a table or a stream that a run has made since statistics are kept",
                hint=f"mainstem describe {name} counts now",
            )
        return found

    def _past(self, table: str, when: When) -> Context:
        """Return how to read a relation as published at a point: the release, and the remedies accepted by then."""
        release = self._releases.as_of(when, table)
        return self.context("read", release, self._definitions.graph(release, until=release.created_at))
