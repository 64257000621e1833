"""Collect a source: extract, write, audit, and commit rows and cursor together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.checks.audit import subject_of
from mainstem.checks.violations import declared
from mainstem.errors import SourceError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.checks import Unique
from mainstem.nodes.hidden import FILE, SEQ, visible
from mainstem.nodes.sources import Source
from mainstem.nodes.spans import Span
from mainstem.nodes.statistics import Statistics, statistics_id
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.outlook import OBSERVED, is_by_time
from mainstem.planning.plan import Step
from mainstem.planning.sampling import SAMPLED, told
from mainstem.ports import Append, DataFile, ReplaceAll, Snapshot, Target
from mainstem.sources.auditing import Audit
from mainstem.sources.blank import blank, no_value, with_values
from mainstem.sources.evolution import Shape, evolved_to
from mainstem.sources.extraction import Extraction, Merge, Part, ReplaceOrigins, Request
from mainstem.sources.inspection import place, settled
from mainstem.sources.kinds import kind_of
from mainstem.sources.publishing import New, Publishing
from mainstem.sources.reingesting import origins, parts
from mainstem.sources.replacing import FILE_BYTES, Replacing
from mainstem.sources.stored import Stored, in_schema, stored
from mainstem.sources.writing import PREFIX, Layout, Writer, Written

if TYPE_CHECKING:
    from mainstem.nodes.records import CheckResult

NEXT = "mainstem.next_seq"
PLACE = "mainstem.place"
"""The snapshot property with the identity of the place that was read. A cursor is invalid for another place."""
CHECKED = "mainstem.checks"
"""The snapshot property with a digest of the checks that the rows were held to."""


class Collect:
    """The executor of `collect` steps, for the project at `root`."""

    def __init__(
        self,
        root: Path,
        reingest: frozenset[str] = frozenset(),
        refresh: bool = False,
        between: Span | None = None,
    ) -> None:
        """Take in again what was set aside of the sources `reingest`. With `refresh` sources with a cursor are read
        from the beginning, and with `between` the rows with a cursor in that span are."""
        self.root = root
        self.reingest = reingest
        self.refresh, self.between = refresh, between

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Read what is new. Raises `SourceError`, or `CheckFailed` for rows that must not be published."""
        collection = _Collection(self.root, step.node, context, step.node in self.reingest)
        return collection.outcome(self.refresh, self.between)


class _Collection:
    """The collection of one source."""

    def __init__(self, root: Path, name: str, context: Context, reingest: bool) -> None:
        self.root = root
        self.name = name
        self.context = context
        self.definition = context.graph[name]
        self.node: Source = self.definition.node  # type: ignore[assignment]
        self.place = place(self.node)
        self.sample = told(context.graph, context.release.sample, name)
        self.before = context.release.tables.get(name)
        self.damaged = None if self.before is None else context.damaged_file(self.before)
        self.base = self.before if self.before and self._continues(self.before) else None
        aside = context.release.tables.get(PREFIX + name)
        self.retaken = aside if reingest and self.base is not None else None
        self.checks = self._checks()
        self.checked = digest(canonical([str(check) for check in self.checks]))
        self.known = self._known()
        self.blank = self._blank(self._counted())
        met = {name: type for name, type in self.known.items() if name not in self.blank}
        self.shape = Shape(self.node, met, self.definition.where, self.blank, tuple(self.known))

    def outcome(self, refresh: bool = False, between: Span | None = None) -> StepResult:
        observed = self._observed(between)
        extraction = self._extracted(refresh, between)
        layout = Layout(self.context, self.name, self.known, self._hidden(extraction))
        written = self._write(extraction, layout)
        self.shape.end()
        self.shape.schema = layout.columns(self.shape.schema)
        reached = extraction.cursor()
        properties = {PLACE: self.place, NEXT: str(written.next_seq), CHECKED: self.checked}
        properties |= {OBSERVED: observed} if observed else {}
        properties |= {SAMPLED: self.sample} if self.sample else {}
        properties |= evolved_to(self.definition.evolved, visible(self.definition.schema or {}), self.shape.schema)
        message = "; ".join(filter(None, (extraction.told, self.shape.message())))
        target = layout.target(self.shape.schema)
        if self.base is not None and self._nothing_new(extraction, written, reached, target):
            return self._unchanged(reached, properties, message)
        return self._commit(extraction, layout, target, written, reached, properties, message)

    def _observed(self, between: Span | None) -> str | None:
        """Return what the source says of itself now. After a span there may still be rows that were not read."""
        if self._span(between) is not None and self.base is not None:
            return self.base.properties.get(OBSERVED)
        return settled(self.node, self.root)

    def _span(self, between: Span | None) -> Span | None:
        """Return the span to read again, if the source can be read by one."""
        can = self.node.cursor is not None and self.base is not None and is_by_time(self.definition)
        return between if can else None

    def _extracted(self, refresh: bool, between: Span | None) -> Extraction:
        """Return what is new of the source, or all of it, or what is in a span."""
        refresh = refresh and self.node.refreshes and self.base is not None
        cursor = self.base.cursor if self.base and not refresh else None
        again = frozenset(origins(self.context, self.retaken)) if self.retaken else frozenset()
        extraction = kind_of(self.node).extract(
            Request(
                self.name,
                self.node,
                self.root,
                cursor,
                self.shape,
                self.context.engine,
                self.context.report,
                again,
                self._span(between),
            )
        )
        if refresh and extraction.change == Append():
            return replace(extraction, change=ReplaceAll())
        return extraction

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────

    def _write(self, extraction: Extraction, layout: Layout) -> Written:
        merges = isinstance(extraction.change, Merge)
        start = int(self.base.properties.get(NEXT, 0)) if self.base and extraction.change != ReplaceAll() else 0
        writer = Writer(layout, start, bool(self.sample), FILE_BYTES if merges else None)
        for part in chain(extraction.parts, self._set_aside_before(extraction)):
            writer.write(part)
        writer.keep(self.shape.unfit, self.shape.schema)
        return writer.written

    def _set_aside_before(self, extraction: Extraction) -> Iterator[Part]:
        """Yield the rows that were set aside and are to be taken in again, as far as they are not read again."""
        if self.retaken is None or extraction.change == ReplaceAll():
            return iter(())
        read = extraction.change.paths if isinstance(extraction.change, ReplaceOrigins) else ()
        return parts(self.context, self.retaken, self.shape, read)

    def _hidden(self, extraction: Extraction) -> dict[str, str]:
        """Return the hidden columns that are stored, with their types."""
        numbered = {SEQ: "int64"} if SEQ in (self.definition.schema or {}) else {}
        return numbered | ({FILE: "string"} if isinstance(extraction.change, ReplaceOrigins) else {})

    # ── committing ────────────────────────────────────────────────────────────────────────────────────

    def _commit(
        self,
        extraction: Extraction,
        layout: Layout,
        target: Target,
        written: Written,
        cursor: str | None,
        properties: dict[str, str],
        message: str,
    ) -> StepResult:
        context, where = self.context, self.definition.where
        subject = subject_of(context, self.name, self.checks, {f.name: f.type for f in target.fields})
        aside = layout.aside(self.shape.schema)
        audit = Audit(context, subject, target, aside)
        publishing = Publishing(context, self.name, self.base, self.retaken is not None)
        held = stored(context, self.base, extraction.change, target, where, self.base)
        if held.paths and self._is_new_to_checks():
            held = audit.stored(held)
        earlier = [] if isinstance(extraction.change, Merge) else held.paths  # a row that is replaced is no other row
        came = fresh = audit.fresh(in_schema(context, written.batches, target, where), earlier)
        bad = [*audit.aside, *in_schema(context, written.aside, aside, where)]
        rows, set_apart, said = written.rows, sum(file.rows for file in bad), ""
        drawn = written.drawn if not held.made and not bad else None
        if isinstance(extraction.change, Merge):
            stays = held
            fresh, held, said = Replacing(
                context, self.node, extraction.change, target, is_again=self.retaken is not None
            ).of(came, stays)
            drawn = drawn if fresh == came and not stays.paths else None
            rows = sum(file.rows for file in fresh) + set_apart
            if self._is_as_before(target, fresh, held):
                kept = publishing.keep_aside(extraction.change, aside, bad, came)
                return self._unchanged(cursor, properties, message, kept, set_apart, audit.results())
        delivered = sum(file.rows for file in fresh)
        self._check_mended(extraction, delivered)
        new = New(target, held, fresh, drawn, cursor, properties)
        snapshot, counted, results = publishing.publish(extraction.change, new, audit)
        return StepResult(
            tables={self.name: snapshot, **publishing.keep_aside(extraction.change, aside, bad, came)},
            rows_in=rows,
            published=delivered,
            quarantined=set_apart,
            checks=results,
            message="; ".join(filter(None, (message, said, _unfit(written.unfit), self._new_blanks(counted)))),
            records=(counted,),
        )

    def _is_as_before(self, target: Target, fresh: Sequence[DataFile], held: Stored) -> bool:
        """Return whether a merge changes no row that is stored."""
        return self.base is not None and self.base.fields == target.fields and not (fresh or held.gone or held.made)

    def _check_mended(self, extraction: Extraction, delivered: int) -> None:
        """Refuse to replace a damaged snapshot that grew with a cursor by fewer rows than it had."""
        if self.damaged and self.before and extraction.change != ReplaceAll() and delivered < self.before.rows:
            raise SourceError(
                f"a stored file of {self.name!r} is damaged, and the source no longer delivers all rows",
                where=self.damaged,
                got=f"{delivered:,} rows",
                expected=f"{self.before.rows:,} rows, as stored",
                hint="mainstem restore, or put back a copy of the file, and then mainstem check --files",
            )

    def _unchanged(
        self,
        cursor: str | None,
        properties: dict[str, str],
        message: str,
        aside: Mapping[str, Snapshot] | None = None,
        set_apart: int = 0,
        results: tuple[CheckResult, ...] = (),
    ) -> StepResult:
        """Keep the snapshot. The release only saves how the source looked, and what was set aside."""
        assert self.base is not None
        kept = {**properties, NEXT: self.base.properties.get(NEXT, "0")}
        snapshot = replace(self.base, cursor=cursor if cursor is not None else self.base.cursor, properties=kept)
        said = "; ".join(filter(None, ("" if set_apart else "nothing new", message)))
        return StepResult(
            tables={self.name: snapshot, **(aside or {})},
            rows_in=set_apart,
            published=0,
            quarantined=set_apart,
            checks=results,
            message=said,
        )

    def _nothing_new(self, extraction: Extraction, written: Written, cursor: str | None, target: Target) -> bool:
        assert self.base is not None
        if self.base.fields != target.fields or self._is_new_to_checks() or self.retaken:
            return False
        if extraction.is_digest:
            return cursor is not None and cursor == self.base.cursor
        match extraction.change:
            case ReplaceOrigins(paths):
                return not written.rows and not paths
            case Merge(scope=scope):
                return not written.rows and scope is None
            case change:
                return not written.rows and change != ReplaceAll()

    # ── what applies ──────────────────────────────────────────────────────────────────────────────────

    def _continues(self, before: Snapshot) -> bool:
        """Return whether the cursor of the last snapshot is valid: same rows, same place, all sound."""
        same = before.properties.get(PLACE) == self.place and before.properties.get(SAMPLED) == self.sample
        return same and self.damaged is None

    def _known(self) -> dict[str, str]:
        """Return the columns of the definition, and those that are stored besides."""
        defined = visible(self.definition.schema or {})
        stored = {f.name: f.type for f in self.base.fields} if self.base else {}
        return {**defined, **{name: type for name, type in visible(stored).items() if name not in defined}}

    def _counted(self) -> Statistics | None:
        return self.context.state.get(Statistics, statistics_id(self.base)) if self.base else None

    def _new_blanks(self, counted: Statistics) -> str:
        """Return what the run says of columns that are stored for the first time, without a value."""
        told = {change.column for change in self.shape.changes} | (self.known.keys() if self.base else set())
        return no_value(self._blank(counted) - told)

    def _blank(self, counted: Statistics | None) -> frozenset[str]:
        found = frozenset() if kind_of(self.node).has_types else blank(self.node, counted)
        return found - with_values(self.context, PREFIX + self.name, found)

    def _is_new_to_checks(self) -> bool:
        """Return whether the checks changed since the rows were stored."""
        assert self.base is not None
        before = self.base.properties.get(CHECKED)
        if before is None:  # it was stored before this was noted
            return self.context.release.fingerprints.get(self.name) != self.definition.made_by
        return before != self.checked

    def _checks(self) -> tuple[Any, ...]:
        """Return the source's checks. A source that appends may deliver a key again; this is reported and does not
        block."""
        checks = declared(self.node)
        if not self.node.repeats:
            return checks
        own = set(self.node.checks)
        return tuple(replace(c, severity="warn") if isinstance(c, Unique) and c not in own else c for c in checks)


def _unfit(count: int) -> str:
    """Return how many rows do not fit the schema, as text."""
    return f"{count:,} {'rows do' if count > 1 else 'row does'} not fit the schema" if count else ""
