"""Text output for people: tables and colours on a terminal, the same text without colours in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text

from mainstem.cli.render import (
    changes,
    comparisons,
    descriptions,
    differences,
    explanations,
    keeping,
    looks,
    monitors,
    nodes,
    runs,
    tables,
)
from mainstem.cli.render import findings as findings_
from mainstem.cli.render.base import Parity, causes_of
from mainstem.cli.render.words import count, instant, named
from mainstem.masking import masked

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.errors import MainstemError
    from mainstem.nodes.comparisons import Comparison
    from mainstem.nodes.contenders import SideBySide
    from mainstem.nodes.definition import Evolved
    from mainstem.nodes.descriptions import Description
    from mainstem.nodes.differences import Difference
    from mainstem.nodes.erasures import Erasure
    from mainstem.nodes.explanations import Explanation
    from mainstem.nodes.findings import Finding, Remedy
    from mainstem.nodes.overrides import Override
    from mainstem.nodes.records import CheckResult, Release, RunRecord
    from mainstem.nodes.reproductions import Reproduction
    from mainstem.nodes.status import Details, MonitorHistory, ProjectStatus
    from mainstem.planning.plan import Plan
    from mainstem.planning.runner import Event
    from mainstem.ports import Verification
    from mainstem.project.branches import BranchInfo
    from mainstem.project.compaction import Compacted
    from mainstem.project.suggest import Suggestions
    from mainstem.sources.looking import Look

WIDTH_IN_A_PIPE = 120


class TextOutput:
    def __init__(self) -> None:
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    def plan(self, plan: Plan, remedies: Sequence[Remedy]) -> None:
        self._show(runs.plan(plan), *runs.details(plan), *changes.changed(plan.changed))
        self._show(*runs.sampled(plan), *runs.taken_back(plan), *findings_.in_force(remedies))

    @contextmanager
    def progress(self) -> Iterator[Callable[[Event], None]]:
        """Print each step's line when it has ended. On a terminal, also show the current step."""
        if not self.err.is_terminal:
            yield lambda event: self._show(*runs.ended(event))
            return
        with self.err.status("planning") as status:

            def listen(event: Event) -> None:
                status.update(masked(runs.under_way(event)))
                self._show(*runs.ended(event))

            yield listen

    def run(self, record: RunRecord, findings: Mapping[str, Finding]) -> None:
        self._show(*runs.summary(record), *map(findings_.line, findings.values()))

    def checks(self, results: Mapping[str, Sequence[CheckResult]]) -> None:
        self._show(tables.checks(results) if results else "no published table has checks")

    def files(self, found: Verification) -> None:
        for each in found.damaged:
            self._show(f"[red]damaged[/]  {escape(each.table)}  {escape(each.file)}")
            self._show(f"         sha256 {each.expected} at its commit, now {escape(each.got)}")
        if found.unrecorded:
            self._show(f"{count(len(found.unrecorded))} files have no recorded checksum")
        self._show(f"{count(len(found.sound))} files are sound, {found.bytes / 2**20:,.1f} MiB")
        if found.damaged:
            self._show("[dim]mainstem run makes tables and sources again; other data needs a backup[/]")

    def status(self, status: ProjectStatus) -> None:
        self._show(*nodes.status(status))

    def shown(self, node: Details) -> None:
        self._show(*nodes.shown(node, self.out.width))

    def described(self, found: Description) -> None:
        self._show(*descriptions.description(found))

    def explained(self, found: Sequence[Explanation]) -> None:
        for each in found:
            self._show(*explanations.explanation(each))

    def suggested(self, found: Suggestions) -> None:
        """Print code. It is not folded, so that it can be pasted."""
        for name, each in (("clean", found.clean), ("checks", found.checks)):
            if each:
                lines = (f"    {suggestion.code},  # {suggestion.reason}" for suggestion in each)
                self._show(*(escape(line) for line in (f"{name}=[", *lines, "],")))

    def table(self, table: pa.Table, limit: int) -> None:
        self._show(*tables.rows(table.column_names, table.slice(0, limit).to_pylist(), self.out.width))
        if table.num_rows > limit:
            self._show(f"the first {count(limit)} of {count(table.num_rows)} rows")

    def parity(self, reports: Sequence[Parity]) -> None:
        self._show(*(escape(line) for report in reports for line in report.lines()))

    def histories(self, found: Sequence[MonitorHistory], limit: int) -> None:
        self._show(*monitors.histories(found, limit))

    def compared(self, found: Sequence[Comparison]) -> None:
        for each in found:
            self._show(*comparisons.comparison(each))

    def beside(self, found: SideBySide) -> None:
        self._show(*comparisons.side_by_side(found))

    def reproduced(self, found: Reproduction) -> None:
        rows = [(each.step, "same" if each.same else "differs", escape(each.told)) for each in found.steps]
        self._show(tables.grid(("step", "", "what"), rows), escape(found.text))

    def difference(self, found: Difference) -> None:
        self._show(*differences.difference(found))

    def branches(self, found: Sequence[BranchInfo]) -> None:
        rows = [(b.name, b.release, instant(b.published_at), b.tables, _differs(b)) for b in found]
        self._show(tables.grid(("branch", "release", "published", "tables", "differs from main"), rows))

    def release(self, release: Release, what: str) -> None:
        live = ", ".join(f"{endpoint} answers with {bound.champion}" for endpoint, bound in release.endpoints.items())
        self._show(escape(f"{what}: branch {release.branch} publishes {release.id}" + (f"; {live}" if live else "")))

    def releases(self, releases: Sequence[Release]) -> None:
        live = [", ".join(bound.champion for bound in release.endpoints.values()) for release in releases]
        rows = [
            (r.id, instant(r.created_at), r.run, len(r.tables), champions or "–")
            for r, champions in zip(releases, live, strict=True)
        ]
        self._show(tables.grid(("release", "created", "run", "tables", "live"), rows))

    def findings(self, findings: Sequence[Finding]) -> None:
        self._show(*(findings_.table(findings) if findings else ["no findings"]))

    def finding(self, finding: Finding) -> None:
        self._show(*findings_.card(finding))

    def remedy(self, remedy: Remedy) -> None:
        self._show(*findings_.accepted(remedy))

    def keys(self, keys: Sequence[Any]) -> None:
        rows = [(k.name, ", ".join(k.scopes), instant(k.created_at)) for k in keys]
        self._show(tables.grid(("name", "scopes", "created"), rows) if rows else "no keys")

    def overrides(self, found: Sequence[Override]) -> None:
        columns = ("id", "endpoint", "decision", "where", "who", "why", "since", "until")
        self._show(tables.grid(columns, map(_override, found)) if found else "no overrides")

    def looked(self, found: Look) -> None:
        self._show(*looks.look(found, self.out.width))

    def locked(self, found: Mapping[str, Evolved]) -> None:
        rows = [(name, c, was or "new", now) for name, evolved in found.items() for c, (was, now) in evolved.items()]
        columns = ("source", "column", "schemas.lock said", "says now")
        self._show(tables.grid(columns, rows) if rows else "schemas.lock is up to date")

    def compacted(self, found: Sequence[Compacted]) -> None:
        self._show(*keeping.compacted(found))

    def erased(self, found: Erasure) -> None:
        self._show(*keeping.erased(found))

    def said(self, text: str, hint: str | None = None, **facts: Any) -> None:
        self._show(escape(text))
        if hint:
            self._show(f"[dim]{escape(hint)}[/]")

    def error(self, error: MainstemError) -> None:
        causes = causes_of(error)
        for cause in causes:
            self.error(cause)
        parts = error.parts
        self.err.print(f"[bold red]{error.kind}[/]: {escape(parts.pop('what'))}")
        for name, text in parts.items():
            if not (causes and name == "got"):
                self.err.print(f"  [dim]{name:>8}[/]  {escape(text).replace(chr(10), chr(10) + ' ' * 12)}")

    def interrupted(self, what: str) -> None:
        self.err.print(f"[red]{what}[/]")

    def _show(self, *parts: RenderableType) -> None:
        for part in parts:
            self.out.print(part)


def _override(found: Override) -> tuple[Any, ...]:
    where = ", ".join(f"{name}={value}" for name, value in found.where.items()) or "all requests"
    end = found.ended_at or found.until
    until = f"{instant(end)}, by {found.ended_by}" if found.ended_at else instant(end) if end else "–"
    about = (found.id, found.endpoint, found.decision, where, found.who, found.why)
    return (*about, instant(found.created_at), until)


def _differs(branch: BranchInfo) -> str:
    sample = (f"a sample: {branch.sample}",) if branch.sample else ()
    return "; ".join(filter(None, (*sample, named(branch.differs)))) or "–"


def _console(*, stderr: bool) -> Console:
    """Return a console. In a pipe its width is `COLUMNS` or 120, and words are not wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_IN_A_PIPE
    return _MaskedConsole(stderr=stderr, width=width, highlight=False, soft_wrap=True, emoji=False)


class _MaskedConsole(Console):
    """A console that shows no secret value."""

    def render_str(self, text: str, **more: Any) -> Text:
        return super().render_str(masked(text), **more)
