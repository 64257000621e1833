"""The project: one object that loads definitions and has the methods of the command line, the server and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mainstem import settings as settings_module
from mainstem.errors import MainstemError, NotFound, RequestError, RunFailed
from mainstem.nodes.declared import declared
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Finding, Remedy
from mainstem.nodes.kinds import directory, optional, text
from mainstem.nodes.records import Release, RunRecord, Sample, new_id, now
from mainstem.nodes.spans import Span
from mainstem.planning.execution import Replan
from mainstem.planning.judging import judging
from mainstem.planning.materialising import materialising
from mainstem.planning.offering import catch_up
from mainstem.planning.plan import Plan
from mainstem.planning.process import me
from mainstem.planning.runner import Listener
from mainstem.planning.sampling import chosen
from mainstem.project.answering import Answering
from mainstem.project.backfill import Moment, span_of
from mainstem.project.branch import KEEP
from mainstem.project.collect import from_project
from mainstem.project.integrity import verify_due
from mainstem.project.kinds import KINDS
from mainstem.project.notifying import Notifier, is_failure
from mainstem.project.reingesting import refuse_reingest
from mainstem.project.releases import MAIN, refuse_after_rollback
from mainstem.project.running import runner
from mainstem.project.situation import situation
from mainstem.project.storing import Storing
from mainstem.project.telling import Telling

if TYPE_CHECKING:
    from mainstem.nodes.differences import Difference
    from mainstem.nodes.erasures import Erasure
    from mainstem.project.branches import BranchInfo
    from mainstem.project.matching import Proposal


@declared(path=directory, profile=optional(text), branch=text)
def load(path: str | Path = ".", *, profile: str | None = None, branch: str = MAIN) -> Project:
    """Load the project at `path` and check its definitions. Raises `SettingsError` and `DefinitionError`."""
    settings = settings_module.load(path, profile)
    read = partial(from_project, settings.root, settings.project.modules, settings.params)
    return Project(settings, read(), branch=branch, read=read)


class Project(Storing, Telling, Answering):
    """A project on one branch."""

    # ── releases ─────────────────────────────────────────────────────────────────────────────────────

    def rollback(self, to: str | None = None) -> Release:
        """Publish an older release again: `to`, or the previous one. Raises `NotFound` if there is none."""
        return self._releases.rollback(to)

    def promote(self, name: str, version: str | None = None, *, breaking: bool = False) -> Release:
        """Promote a model's challenger (or the given version) at its endpoints. `name` is the model or an endpoint.

        Raises `RequestError` for a version whose requests have new fields, or fields of other types, than those of the
        champion, or whose answers are of another task or have other classes, unless `breaking`.
        """
        return self._releases.promote(self.graph, name, version, breaking=breaking)

    def demote(self, name: str) -> Release:
        """Restore the previous version of an endpoint (or of a model's endpoints). Raises `NotFound` if there
        is none."""
        return self._releases.demote(self.graph, name)

    # ── branches ─────────────────────────────────────────────────────────────────────────────────────

    def branches(self) -> list[BranchInfo]:
        """Return the branches, `main` first, each with what differs from `main`."""
        from mainstem.project.branches import branches

        return branches(self)

    def diff(self, before: str, after: str, tables: Sequence[str] = (), *, data: bool = True) -> Difference:
        """Return how `after`, a branch or a release, differs from `before`: with `data` by the rows of their tables,
        matched by key. Only snapshots that differ are read.

        Raises `NotFound` for an unknown branch or release, and `UnknownName` for a table that neither publishes.
        """
        from mainstem.project.differing import differences

        return differences(self, before, after, tables, data=data)

    def create_branch(self, name: str, source: str = MAIN) -> Release:
        """Create a branch that publishes what `source`, a branch or a release, publishes. Raises `ConflictError` if the
        branch exists, `RequestError` for an invalid name, and `NotFound` for an unknown source."""
        from mainstem.project.branches import create

        return create(self, name, source)

    def delete_branch(self, name: str) -> Release:
        """Delete a branch with its online state and logs. Return its last release, from which it can be created again.

        Raises `RequestError` for `main`, `NotFound`, and `ConflictError` while a run is in progress on it.
        """
        from mainstem.project.branches import delete

        return delete(self, name)

    def promote_branch(self, name: str, to: str = MAIN, report: Listener | None = None) -> RunRecord:
        """Publish on branch `to` what branch `name` publishes, all of it or nothing: tables, models, endpoints.

        Nothing is built again; views whose state differs are brought online in the store of `to`. Raises
        `ConflictError` if that would lose what `to` publishes, and `NotFound` for an unknown branch.
        """
        from mainstem.project.branches import promote

        return promote(self, name, to, report)

    # ── work ─────────────────────────────────────────────────────────────────────────────────────────

    def run(
        self,
        select: str | None = None,
        report: Listener | None = None,
        *,
        full_refresh: bool = False,
        start: Moment | None = None,
        end: Moment | None = None,
        forward: bool = False,
        workers: int | None = None,
        sample: float | None = None,
        sample_by: str | None = None,
    ) -> RunRecord:
        """Collect, build, check, bring online, train and monitor every node that is not as declared. Then publish
        atomically.

        With nothing to do the record's status is `unchanged`; it is written only after a failed run. First some of the
        stored files that are due are verified. With `full_refresh` every selected table is built from all rows of its
        inputs, also where only a part of them is new, and sources with a cursor are read from the beginning. With
        `start` the selected incremental tables build all intervals from then to before `end` again, and sources read
        the rows of that span. After a rollback `forward` allows to go on from what was rolled back to. Up to
        `workers` independent steps run at once, by default as mainstem.toml says.

        With `sample` a branch other than main works on this fraction of the source `sample_by` (default: the largest
        one with a key) from now on, and of the sources that refer to its key; 1 is all rows again. Raises
        `RequestError`.

        A view, a model or an endpoint whose definition is broken is left out; its `DefinitionError` is raised after the
        rest is published, with the record as its `run`.

        Raises `RunFailed`; endpoints that are live have been judged by then, by a run of their own on what is
        published. Raises `ConflictError` while another run is in progress on the branch, or after a rollback.
        """
        notifier = Notifier(self)
        try:
            record = self._run(
                select,
                report,
                full_refresh=full_refresh,
                start=start,
                end=end,
                forward=forward,
                workers=workers,
                sample=sample,
                sample_by=sample_by,
            )
        except Exception as problem:
            if is_failure(problem):
                notifier.tell(problem)
            raise
        notifier.tell(None)
        return record

    def _run(
        self,
        select: str | None,
        report: Listener | None,
        *,
        full_refresh: bool,
        start: Moment | None,
        end: Moment | None,
        forward: bool,
        workers: int | None,
        sample: float | None,
        sample_by: str | None,
    ) -> RunRecord:
        if sample is None and sample_by is not None:
            raise RequestError("`sample_by` requires `sample`", got=sample_by, hint="sample=0.05")
        with self.adapters.state.hold(self.branch, me()):
            if not self.release.tables:
                self.adapters.prepare()
            verify_due(self.adapters, self.release)
            wanted = self.release.sample if sample is None else self._sample(sample, sample_by)
            work = self.plan(select, full_refresh=full_refresh, start=start, end=end, sample=wanted)
            between = span_of(self.sound, start, end, select, full_refresh)
            self.keep_definitions()
            if work and not forward:
                refuse_after_rollback(work)
            work = replace(work, rolled_back=None)
            try:
                record = self._carry_out(
                    work,
                    report,
                    refresh=full_refresh,
                    between=between,
                    workers=workers,
                    sample=wanted,
                    replan=lambda release: self.replanned(release, select, full_refresh, start, end, wanted),
                )
            except RunFailed as failure:
                failure.judged = self._judge_live(work, failure, report)
                raise
        for problem in work.broken:
            problem.run = record
            raise problem
        return record

    def reingest(self, name: str, report: Listener | None = None) -> RunRecord:
        """Take in again the rows of a source that were set aside, by its present contract, schema and checks, and build
        what depends on it. Rows that do not fit yet stay set aside.

        Raises `UnknownName` for a node that is not a collected source, `NotFound` without such rows, and `RunFailed`.
        """
        with self.adapters.state.hold(self.branch, me()):
            refuse_reingest(self.sound, self.release, name)
            select, names = f"{name}+", frozenset({name})
            work = self.plan(select, reingest=names)
            refuse_after_rollback(work)
            self.keep_definitions()

            def again(release: Release) -> tuple[Graph, Plan]:
                return self.replanned(release, select, False, None, None, release.sample)

            return self._carry_out(work, report, replan=again, reingest=names)

    def _judge_live(self, work: Plan, failure: RunFailed, report: Listener | None) -> RunRecord | None:
        failed = {step.node for step in failure.run.steps if step.status == "failed"} if failure.run else set()
        rest = judging(work, self.sound, failed, self.release.endpoints)
        if not rest:
            return None
        try:
            return self._carry_out(rest, report)
        except MainstemError as problem:
            failure.add_note(f"live endpoints could not be judged either: {problem}")
            return None

    def materialise(
        self, views: Sequence[str] = (), *, rebuild: bool = False, report: Listener | None = None
    ) -> RunRecord:
        """Bring feature views (all if none is named) online from the lake, and publish them.

        Only views that are not as declared are built; with `rebuild` all are, next to the live state. Readers switch
        when all of them are built.

        Raises `UnknownName` for a node that is not a view, `RunFailed`, and `ConflictError` while a run is in progress.
        """
        with self.adapters.state.hold(self.branch, me()):
            graph = self.graph
            self.keep_definitions()
            seen = situation(graph, self.release, self.settings.root, self.adapters)
            work = materialising(graph, seen, KINDS, views, rebuild=rebuild)
            work = replace(work, rolled_back=self.taken_back(seen.release))
            return self._carry_out(work, report, rebuild=rebuild)

    def _carry_out(
        self,
        work: Plan,
        report: Listener | None,
        *,
        rebuild: bool = False,
        refresh: bool = False,
        workers: int | None = None,
        sample: Sample | Literal["keep"] | None = KEEP,
        between: Span | None = None,
        replan: Replan | None = None,
        reingest: frozenset[str] = frozenset(),
    ) -> RunRecord:
        if not work:
            return self._unchanged(work)
        release = self.claim()
        context = self.context(new_id("run"), release if sample == KEEP else replace(release, sample=sample))
        context.replan = replan
        executors = self.adapters.executors(
            self.with_rules, rebuild=rebuild, refresh=refresh, between=between, reingest=reingest
        )
        return runner(self.settings, executors, workers).run(work, context, report or (lambda _: None))

    def _sample(self, fraction: float, source: str | None) -> Sample | None:
        if self.branch == MAIN:
            hint = "mainstem run --branch dev --sample 0.05"
            raise RequestError(f"branch {MAIN!r} does not work on a sample", hint=hint)
        return chosen(self.graph, self.release, fraction, source)

    def _unchanged(self, work: Plan) -> RunRecord:
        """Return the record of a run with nothing to do. It is saved if it shows that a failed run is no longer due."""
        catch_up(self.adapters.lake, self.adapters.state, self.branch, self.release)
        covers = work.covers(self.sound.dag.order)
        made = RunRecord(new_id("run"), self.branch, "unchanged", ended_at=now(), release=self.release.id, whole=covers)
        last = self.adapters.state.find(RunRecord, branch=self.branch, newest=1)
        if covers and last and last[0].status == "failed":
            self.adapters.state.save(made)
        return made

    def propose_matches(self, table: str) -> list[Proposal]:
        """Add a line for every unknown text to the files of the table's `ms.clean.match` verbs, for review. Return the
        new lines.

        A line has the most similar canonical text, or none if the similarity is too low. Reads the published inputs.
        Raises `UnknownName` for an unknown table and `NotFound` for one without such a verb.
        """
        from mainstem.project.matching import propose

        return propose(self.reading("match"), table, self.settings.root)

    # ── erasing ──────────────────────────────────────────────────────────────────────────────────────

    def erase(self, column: str, value: object, *, also: Sequence[str] = (), rehearse: bool = False) -> Erasure:
        """Erase all rows whose `column` has the value, in every relation of every branch, release and model's dataset,
        and in the branch's online state and logs. `also` are other columns with the same key, as `orders.buyer_id`.

        Deletion wins: releases and snapshots that have such a row are gone, and model versions that were made of them
        are marked. With `rehearse` nothing is changed. Raises `UnknownName` and `RequestError` for the columns, and
        `ConflictError` while a run is in progress.
        """
        from mainstem.project.erasure import Eraser, stale_views

        if rehearse:
            return Eraser(self, column, str(value), also).rehearse()
        self._drain()
        before = self.release
        done = Eraser(self, column, str(value), also).erase()
        views = stale_views(self, before) if self.adapters.has_store else ()
        if views:
            self.materialise(views, rebuild=True)
        return replace(done, views=views)

    def _drain(self) -> None:
        """Bring the entries of all logs into the lake."""
        with self.adapters.state.hold(self.branch, me()):
            work = self.plan(look=False)
            drains = replace(work, steps=tuple(step for step in work.steps if step.kind == "drain"))
            if drains.steps:
                self._carry_out(drains, None)

    # ── findings ─────────────────────────────────────────────────────────────────────────────────────

    def finding(self, id: str) -> Finding:
        """Return one finding. Raises `NotFound`."""
        found = self.adapters.state.get(Finding, id)
        if found is None:
            known = ", ".join(f.id for f in self.findings()) or "no finding exists yet"
            raise NotFound(f"unknown finding {id!r}", expected=known, hint="mainstem finding list")
        return found

    def accept(self, id: str) -> Remedy:
        """Write a finding's remedy to remedies.toml. The next run applies and verifies it."""
        from mainstem.feedback.decisions import accept

        return accept(self.adapters.state, id, self.settings.root)

    def reject(self, id: str, reason: str, until: datetime | None = None) -> Finding:
        """Reject a finding, and mute its kind there until a date."""
        from mainstem.feedback.decisions import reject

        return reject(self.adapters.state, id, reason, until)
