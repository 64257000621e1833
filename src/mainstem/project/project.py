"""The project: one object that loads definitions and offers what the command line, the server and notebooks call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem import settings as settings_module
from mainstem.errors import MainstemError, NotFound, UnknownName
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.findings import Finding, Remedy, Rule
from mainstem.nodes.records import CheckResult, Release, RunRecord, new_id, now
from mainstem.nodes.sources import Source, Stream
from mainstem.planning.execution import Context
from mainstem.planning.plan import Plan
from mainstem.planning.planner import Situation, plan
from mainstem.planning.runner import Listener, Runner
from mainstem.project import live
from mainstem.project.collect import from_project
from mainstem.project.live import Online, Pages, Rows
from mainstem.project.reading import Relation
from mainstem.project.resolve import resolve
from mainstem.project.wiring import Adapters
from mainstem.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.nodes.parity import ParityReport
    from mainstem.serving.keys import KeyInfo

MAIN = "main"
SPLITS = ("train", "gap", "test", "unlabelled")


def load(path: str | Path = ".", *, profile: str | None = None, branch: str = MAIN) -> Project:
    """The project at `path`, its definitions checked. Raises `SettingsError` and `DefinitionError`."""
    settings = settings_module.load(path, profile)
    return Project(settings, from_project(settings.root, settings.project.modules), branch=branch)


class Project:
    """A project's definitions on one branch, and what can be done with them.

    Definitions are resolved when they are first needed, and again when the branch's release or the accepted
    remedies have changed.
    """

    def __init__(
        self,
        settings: Settings,
        nodes: Mapping[str, Node],
        *,
        branch: str = MAIN,
        aliases: Mapping[Node, str] | None = None,
    ) -> None:
        """`aliases` names nodes that definitions refer to and that others of `nodes` stand in for, as tests do."""
        self.settings = settings
        self.nodes = nodes
        self.aliases = aliases or {}
        self.branch = branch
        self.adapters = Adapters(settings, branch)
        self._graph: tuple[Any, Graph] | None = None

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close stores and connections."""
        self.adapters.close()

    # ── definitions ──────────────────────────────────────────────────────────────────────────────────

    @property
    def graph(self) -> Graph:
        """The project, resolved with the remedies and cutovers in force. Raises `DefinitionError`."""
        remedies, cutovers = self.remedies, dict(self.release.cutovers)
        key = (remedies, tuple(sorted(cutovers.items())))
        if self._graph is None or self._graph[0] != key:
            rules = [remedy.rule for remedy in remedies]
            self._graph = (key, self._resolve(rules, cutovers))
        return self._graph[1]

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """The accepted findings in remedies.toml."""
        from mainstem.feedback.remedies import read

        return read(self.settings.root / "remedies.toml")

    def _schemas(self) -> Mapping[str, Mapping[str, str]]:
        """The schemas of schemas.lock; sources that are not in it are introspected once, and added."""
        from mainstem.sources.schemas import introspect, read_lock, write_lock

        lock = self.settings.root / "schemas.lock"
        locked: dict[str, Mapping[str, str]] = dict(read_lock(lock))
        sources = {name: node for name, node in self.nodes.items() if isinstance(node, Source)}
        missing = [n for n, node in sources.items() if n not in locked and not isinstance(node, Stream)]
        for name in missing:
            try:
                locked[name] = introspect(sources[name], self.settings.root, self.adapters.engine)
            except MainstemError as problem:
                raise problem.within(f"{name} ({sources[name].origin})") from None
        if missing:
            write_lock(lock, locked)
        return {name: {**locked.get(name, {}), **(node.schema or {})} for name, node in sources.items()}

    def _regraph(self, rules: Sequence[Rule]) -> Graph:
        """The project resolved with more remedies than it has."""
        in_force = [*(remedy.rule for remedy in self.remedies), *rules]
        return self._resolve(in_force, self.release.cutovers)

    def _resolve(self, rules: Sequence[Rule], cutovers: Mapping[str, datetime]) -> Graph:
        return resolve(self.nodes, self._schemas(), rules=rules, cutovers=cutovers, aliases=self.aliases)

    # ── releases ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def release(self) -> Release:
        """What the branch publishes; an empty release (its id is "") before the first run."""
        head = self.adapters.state.head(self.branch) or self.adapters.state.head(MAIN)
        release = self.adapters.state.get(Release, head) if head else None
        return release or Release(id="", branch=self.branch, run="")

    def releases(self) -> list[Release]:
        """The branch's releases, newest first, back through what it was forked from."""
        found, release = [], self.release
        while release.id:
            found.append(release)
            parent = self.adapters.state.get(Release, release.parent) if release.parent else None
            release = parent or Release(id="", branch=self.branch, run="")
        return found

    def rollback(self, to: str | None = None) -> Release:
        """Publish an older release again: `to`, or the one before. Raises `NotFound` if there is none."""
        history = self.releases()
        wanted = to or (history[0].parent if history else None)
        chosen = next((release for release in history if release.id == wanted), None)
        if chosen is None:
            raise NotFound(
                "there is no such release" if to else "there is no release before this one",
                got=to,
                expected=", ".join(release.id for release in history[1:]) or None,
            )
        return self._publish(chosen)

    def promote(self, name: str, version: str | None = None) -> Release:
        """Ship a model's challenger (or the given version) at its endpoints; `name` is the model or an endpoint."""
        from mainstem.models.registry import promote

        graph, release = self.graph, self.release
        node = graph[name].node
        model = graph.name_of(node.model) if isinstance(node, Endpoint) else name
        endpoints = [n for n, e in graph.of(Endpoint).items() if graph.name_of(e.model) == model and name in (n, model)]
        chosen = version or release.models.get(model)
        if chosen is None or not endpoints:
            missing = "has no trained version" if endpoints else "has no endpoint"
            raise NotFound(f"{name!r} {missing}", hint="mainstem run" if endpoints else "ms.endpoint(…)")
        for endpoint in endpoints:
            release = promote(release, endpoint, chosen)
        return self._publish(release)

    def demote(self, name: str) -> Release:
        """Ship again what an endpoint (or a model's endpoints) had before. Raises `NotFound` if it had nothing."""
        now_live = dict(self.release.endpoints)
        wanted = [e for e, n in self.graph.of(Endpoint).items() if name in (e, self.graph.name_of(n.model))]
        for older in self.releases():
            before = {
                e: older.endpoints[e] for e in wanted if older.endpoints.get(e, now_live.get(e)) != now_live.get(e)
            }
            if before:
                return self._publish(replace(self.release, endpoints={**now_live, **before}))
        raise NotFound(f"nothing was live before at {name!r}", hint="mainstem show NAME lists a model's versions")

    def _publish(self, content: Release) -> Release:
        """Move the branch's head to a release with the given content."""
        current = self.claim()
        release = replace(content, id=new_id("rel"), branch=self.branch, parent=current.id or None, created_at=now())
        self.adapters.state.save(release)
        self.adapters.state.move(self.branch, release.id, expect=current.id or None)
        return release

    def claim(self) -> Release:
        """The branch's release; a branch that has none yet is forked from main."""
        release = self.release
        if release.id and self.adapters.state.head(self.branch) is None:
            self.adapters.fork(MAIN)
            self.adapters.state.move(self.branch, release.id, expect=None)
        return release

    # ── work ─────────────────────────────────────────────────────────────────────────────────────────

    def plan(self, select: str | None = None) -> Plan:
        """What `run` would do, and why. Raises `UnknownName`."""
        return plan(self.graph, self._situation(), select)

    def run(self, select: str | None = None, report: Listener | None = None) -> RunRecord:
        """Collect, build, check, bring online, train, monitor: whatever is not as declared; then publish it at once.

        With nothing to do the record's status is `unchanged`, and nothing is written. Raises `RunFailed`.
        """
        work = self.plan(select)
        if not work:
            return RunRecord(new_id("run"), self.branch, "unchanged", ended_at=now(), release=self.release.id)
        release = self.claim()
        context = self._context(new_id("run"), release)
        executors = self.adapters.executors(self._regraph)
        return Runner(executors).run(work, context, report or (lambda _: None))

    def check(self, select: str | None = None) -> dict[str, tuple[CheckResult, ...]]:
        """The results of the checks on what is published, by node."""
        from mainstem.graph.selection import select as selected
        from mainstem.tables.build import check_published

        context = self.reading("check")
        names = [n for n in self.graph.dag.order if n in selected(self.graph.dag, select)]
        checked = [n for n in names if getattr(self.graph[n].node, "checks", ()) and n in context.release.tables]
        return {name: check_published(context, name) for name in checked}

    def reading(self, purpose: str) -> Context:
        """A context that reads what is published now."""
        return self._context(purpose, self.release)

    def _context(self, run: str, release: Release) -> Context:
        a = self.adapters
        return Context(run, self.branch, self.graph, release, a.engine, a.lake, a.state)

    def _situation(self) -> Situation:
        release = self.release
        sources = self.graph.of(Source)
        observed = {name: self._observed(name, node, release) for name, node in sources.items()}
        return Situation(release, observed, self._pending(release), self._awaiting())

    def _observed(self, name: str, node: Source, release: Release) -> str | None:
        from mainstem.sources.observe import observe

        if isinstance(node, Stream) or name not in release.tables:
            return None
        return observe(node, self.settings.root, release.tables[name].cursor)

    def _pending(self, release: Release) -> dict[str, int]:
        if not self.adapters.has_store:
            return {}
        logs = {name: (f"events/{name}", name) for name in self.graph.of(Stream)}
        logs |= {name: (f"predictions/{name}", f"predictions.{name}") for name in self.graph.of(Endpoint)}
        pending = {}
        for name, (log, table) in logs.items():
            snapshot = release.tables.get(table)
            drained = int(snapshot.cursor or 0) if snapshot else 0
            pending[name] = self.adapters.store.end(log) - drained
        return pending

    def _awaiting(self) -> frozenset[str]:
        accepted = self.adapters.state.find(Finding, state="accepted", branch=self.branch)
        return frozenset(finding.endpoint for finding in accepted)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    def table(self, name: str) -> Relation:
        """A published relation: a source, a table, or `quarantine.NAME`. Raises `UnknownName`."""
        return Relation(self.reading("read"), name)

    def dataset(self, model: str, split: str | None = None) -> Relation:
        """The examples a model was last trained on: one row each, point-in-time correct; of one split if given.

        Raises `UnknownName` for a model without a dataset, or a split that there is not.
        """
        if split not in (None, *SPLITS):
            raise UnknownName.among("split", str(split), SPLITS)
        condition = None if split is None else f"_split = '{split}'"
        return Relation(self.reading("read"), f"dataset.{model}", condition)

    def query(self, sql: str) -> pa.Table:
        """The result of a SELECT over published relations, for an analyst who wants to look. Raises `EngineError`."""
        from mainstem.project.reading import query

        return query(self.reading("query"), sql)

    # ── live ─────────────────────────────────────────────────────────────────────────────────────────

    def online(self, view: str) -> Online:
        """The online state of a feature view: `.get([{"origin": "JFK"}])`."""
        return Online(self, view)

    def predict(self, endpoint: str, rows: Rows, time: datetime | None = None) -> list[dict[str, Any]]:
        """Score rows as the server would, without logging them; one answer per row. Raises `RequestError`."""
        return live.predict(self, endpoint, rows, time)

    def ingest(self, stream: str, rows: Rows, *, replay: bool = False) -> int:
        """Take events as the server would; replayed ones arrive when they happened. Raises `RequestError`."""
        return live.ingest(self, stream, rows, replay=replay)

    def serve(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        pages: Pages = lambda status: (),
        started: Callable[[str], None] = lambda url: None,
        parity: int = 0,
    ) -> None:
        """Answer over HTTP until SIGTERM or Ctrl-C, by default where mainstem.toml says.

        `pages` makes further routes from a function that tells the status; `started` is told the URL. With `parity` a
        process beside the server compares a sample of so many reads with the lake whenever a run has brought some.
        """
        listen = self.settings.serve
        with live.beside(self, parity):
            live.serve(self, host or listen.host, listen.port if port is None else port, pages, started)

    def parity(self, name: str | None = None, sample: int | None = None) -> ParityReport:
        """Logged reads of an endpoint (or of the view `name`), recomputed offline as of then, and compared."""
        from mainstem.features.parity import compare

        endpoint = live.endpoint_of(self, name)
        view = name if live.is_view(self, name) else None
        return compare(self.reading("parity"), endpoint, view=view, sample=sample)

    def watch_parity(self, sample: int, every: float) -> Iterator[ParityReport]:
        """Compare a sample of the reads that each new release brings to the lake, and keep what was found, for ever.

        Looks for a release `every` so many seconds; `/metrics` of a server shows the newest reports.
        """
        return live.watch_parity(self, sample, every)

    def create_key(self, name: str, scopes: Sequence[str]) -> str:
        """A new API key: shown this once."""
        from mainstem.serving.keys import create

        return create(self.adapters.state, name, scopes)

    def keys(self) -> list[KeyInfo]:
        """The API keys that are valid, without what is secret."""
        from mainstem.serving.keys import shown

        return shown(self.adapters.state)

    def revoke_key(self, name: str) -> None:
        """End a key's validity. Raises `NotFound`."""
        from mainstem.serving.keys import revoke

        revoke(self.adapters.state, name)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────

    def status(self) -> dict[str, Any]:
        """Every node with its state, endpoints, findings and runs, as plain data."""
        from mainstem.project.status import status

        return status(self)

    def show(self, name: str, limit: int = 10) -> dict[str, Any]:
        """What there is to say about one node, with some of its rows. Raises `UnknownName`."""
        from mainstem.project.show import show

        return show(self, name, limit)

    def gc(self) -> int:
        """Delete data files that no release of any branch refers to; the number deleted."""
        kept = self.adapters.state.find(Release)
        return self.adapters.lake.sweep([snapshot for release in kept for snapshot in release.tables.values()])

    # ── findings ─────────────────────────────────────────────────────────────────────────────────────

    def findings(self, state: str | None = None) -> list[Finding]:
        """The branch's findings, oldest first."""
        found = self.adapters.state.find(Finding, branch=self.branch)
        return [finding for finding in found if state in (None, finding.state)]

    def finding(self, id: str) -> Finding:
        """One finding. Raises `NotFound`."""
        found = self.adapters.state.get(Finding, id)
        if found is None:
            known = ", ".join(f.id for f in self.findings()) or "none was ever opened"
            raise NotFound(f"there is no finding {id!r}", expected=known, hint="mainstem finding list")
        return found

    def accept(self, id: str) -> Remedy:
        """Write a finding's remedy to remedies.toml; the next run applies and verifies it."""
        from mainstem.feedback.decisions import accept

        return accept(self.adapters.state, id, self.settings.root)

    def reject(self, id: str, reason: str, until: datetime | None = None) -> Finding:
        """Reject a finding, and mute its kind there until a date."""
        from mainstem.feedback.decisions import reject

        return reject(self.adapters.state, id, reason, until)
