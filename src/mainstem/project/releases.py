"""The branch's releases: the published one, earlier ones, and moves of the branch other than runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mainstem.errors import ConflictError, NotFound, RequestError, StorageError, close_matches
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.records import ModelVersion, Release, new_id, now
from mainstem.planning.offering import offer
from mainstem.planning.plan import Plan
from mainstem.project.wiring import Adapters

MAIN = "main"
SHOWN = 5

When = datetime | str | int
"""A point in a branch's past: an instant, or the id of a run, a release or a table's snapshot."""


class Releases:
    """The releases of one branch."""

    def __init__(self, adapters: Adapters, branch: str) -> None:
        self._adapters = adapters
        self._branch = branch

    @property
    def current(self) -> Release:
        """The release that the branch publishes. Before the first run it is empty, with the id ""."""
        state = self._adapters.state
        return self._get(state.head(self._branch) or state.head(MAIN))

    def history(self) -> list[Release]:
        """Return the releases, newest first, including those before the branch's fork."""
        found, release = [], self.current
        while release.id:
            found.append(release)
            release = self._get(release.parent)
        return found

    def _get(self, id: str | None) -> Release:
        if not id:
            return Release(id="", branch=self._branch, run="")
        found = self._adapters.state.get(Release, id)
        if found is None:
            hint = "mainstem restore DIR brings back a backup"
            raise StorageError("the state has no record of a release that it refers to", got=id, hint=hint)
        return found

    # ── the past ─────────────────────────────────────────────────────────────────────────────────────

    def as_of(self, when: When, table: str) -> Release:
        """Return the release at an instant, of a run, or the one that first had a snapshot of `table`.

        Raises `NotFound`, with the known points.
        """
        history = self.history()
        match when:
            case datetime():
                return self._published_at(when, history)
            case int():
                return self._with_snapshot(when, table, history)
        named = [release for release in history if when in (release.id, release.run)]
        if named:
            return named[-1]  # promote and rollback publish a run's content again
        runs = list(dict.fromkeys(release.run for release in history))
        raise NotFound(f"{when!r} did not publish on branch {self._branch!r}", expected=_some(runs))

    def _published_at(self, when: datetime, history: Sequence[Release]) -> Release:
        if when.tzinfo is None:
            raise RequestError("the time has no time zone", got=str(when), expected="a time with one, such as UTC")
        found = next((release for release in history if release.created_at <= when), None)
        if found is None:
            since = f"from {history[-1].created_at:%Y-%m-%d %H:%M:%S} UTC on" if history else None
            raise NotFound(f"no release existed on branch {self._branch!r} at {when}", expected=since)
        return found

    def _with_snapshot(self, id: int, table: str, history: Sequence[Release]) -> Release:
        snapshots = {r.tables[table].id: r for r in history if table in r.tables}
        if id not in snapshots:
            raise NotFound(
                f"{table!r} has no published snapshot {id}", expected=_some([str(known) for known in snapshots])
            )
        return snapshots[id]

    # ── moving the branch ────────────────────────────────────────────────────────────────────────────

    def claim(self) -> Release:
        """Return the branch's release. A branch without one is forked from main."""
        release = self.current
        if release.id and self._adapters.state.head(self._branch) is None:
            self._adapters.fork(MAIN)
            self._adapters.state.move(self._branch, release.id, expect=None)
        return release

    def rollback(self, to: str | None = None) -> Release:
        """Publish an older release again: `to`, or the previous one. Raises `NotFound` if there is none, and
        `StorageError` if its data is not kept any more.

        The next run that has something to do must be told to go forward again.
        """
        history = self.history()
        wanted = to or (history[0].parent if history else None)
        chosen = next((release for release in history if release.id == wanted), None)
        if chosen is None:
            raise NotFound(
                "unknown release" if to else "no earlier release exists",
                got=to,
                expected=", ".join(release.id for release in history[1:]) or None,
            )
        for snapshot in chosen.tables.values():
            self._adapters.lake.scan(snapshot)  # it raises StorageError for one that is not kept any more
        return self.publish(replace(chosen, rolled_back=history[0].id))

    def promote(self, graph: Graph, name: str, version: str | None = None, *, breaking: bool = False) -> Release:
        """Promote a model's challenger (or the given version) at its endpoints. `name` is the model or an endpoint.

        Raises `RequestError` for a version that breaks callers of a champion, unless `breaking`.
        """
        from mainstem.models.versions.registry import promote

        release, node = self.current, graph[name].node
        model = graph.name_of(node.model) if isinstance(node, Endpoint) else name
        endpoints = [n for n, e in graph.of(Endpoint).items() if graph.name_of(e.model) == model and name in (n, model)]
        chosen = version or release.models.get(model)
        if chosen is None or not endpoints:
            missing = "has no trained version" if endpoints else "has no endpoint"
            raise NotFound(f"{name!r} {missing}", hint="mainstem run" if endpoints else "ms.endpoint(…)")
        self._check_version(model, chosen)
        for endpoint in endpoints if not breaking else ():
            self._check_callers(release, endpoint, chosen)
        for endpoint in endpoints:
            release = promote(release, endpoint, chosen)
        return self.publish(release)

    def _check_callers(self, release: Release, endpoint: str, chosen: str) -> None:
        """Refuse a version whose requests or answers differ from those of the champion. Raises `RequestError`."""
        from mainstem.models.versions.registry import breaking

        bound, state = release.champion(endpoint), self._adapters.state
        old, new = state.get(ModelVersion, bound) if bound else None, state.get(ModelVersion, chosen)
        found = () if old is None or new is None else breaking(old, new)
        if old is not None and found:
            raise RequestError(
                f"{chosen} would break the callers of {endpoint!r}",
                got="; ".join(found),
                expected=f"requests and answers as those of {old.id}: {', '.join(old.request or ()) or 'no fields'}; "
                + ", ".join((old.task, *old.classes)),
                hint=f"change the callers first, and then: mainstem promote {endpoint} --breaking",
            )

    def _check_version(self, model: str, version: str) -> None:
        """Refuse an id that is not a version of the model. Raises `NotFound`."""
        known = [found.id for found in reversed(self._adapters.state.find(ModelVersion, model=model))]
        if version not in known:
            raise NotFound(
                f"unknown version {version!r} of the model {model!r}",
                got=version,
                expected=_some(known) or "a trained version; there is none yet",
                hint=close_matches(version, known) or f"mainstem show {model}",
            )

    def demote(self, graph: Graph, name: str) -> Release:
        """Restore the previous version of an endpoint (or of a model's endpoints). Raises `NotFound` if there
        is none."""
        history = self.history()
        live = dict(self.current.endpoints)
        wanted = [e for e, n in graph.of(Endpoint).items() if name in (e, graph.name_of(n.model))]
        for older in history:
            before = {e: older.endpoints[e] for e in wanted if older.endpoints.get(e, live.get(e)) != live.get(e)}
            if before:
                return self.publish(replace(self.current, endpoints={**live, **before}))
        raise NotFound(f"no earlier version was live at {name!r}", hint="mainstem show NAME lists a model's versions")

    def publish(self, content: Release) -> Release:
        """Move the branch's head to a release with the given content."""
        current = self.claim()
        release = replace(content, id=new_id("rel"), branch=self._branch, parent=current.id or None, created_at=now())
        self._adapters.state.publish(self._branch, release, expect=current.id or None)
        offer(self._adapters.lake, self._adapters.state, self._branch, release)
        return release


def refuse_after_rollback(work: Plan) -> None:
    """Raise `ConflictError` if the branch was rolled back: a run would publish again what was rolled back."""
    if work.rolled_back is None:
        return
    raise ConflictError(
        f"branch {work.branch!r} was rolled back, and this run may publish again what was rolled back",
        where=f"release {work.rolled_back}",
        got=_some([f"{step.key} ({step.reason})" for step in work.steps], "steps: "),
        hint="correct the cause, look at mainstem plan, and then mainstem run --forward",
    )


def _some(names: Sequence[str], before: str = "one of ") -> str | None:
    if not names:
        return None
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{before}{', '.join(names[:SHOWN])}{more}"
