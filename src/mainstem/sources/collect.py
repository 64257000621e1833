"""Collect a source: extract, write, audit, and commit rows and cursor together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.checks.audit import judge, keep_aside, ordered, set_aside, subject_of
from mainstem.checks.examine import refuse
from mainstem.checks.unusual import unusual
from mainstem.checks.violations import Subject, declared
from mainstem.errors import EngineError, SourceError
from mainstem.nodes.checks import Unique
from mainstem.nodes.hidden import SEQ, visible
from mainstem.nodes.sources import Source
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.outlook import OBSERVED
from mainstem.planning.plan import Step
from mainstem.planning.sampling import SAMPLED, columns_of, told
from mainstem.ports import Append, Change, DataFile, ReplaceAll, ReplaceFiles, Snapshot, Target
from mainstem.sources.inspection import place, settled
from mainstem.sources.kinds import kind_of
from mainstem.sources.sampled import kept
from mainstem.statistics.keeping import Counting
from mainstem.statistics.sampling import draw

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.nodes.records import CheckResult
    from mainstem.sources.extraction import Extraction, Part

NEXT = "mainstem.next_seq"
PLACE = "mainstem.place"
"""The snapshot property with the identity of the place that was read. A cursor is invalid for another place."""


class Collect:
    """The executor of `collect` steps, for the project at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Read what is new. Raises `SourceError`, or `CheckFailed` for rows that must not be published."""
        return _Collection(self.root, step.node, context).outcome()


@dataclass
class _Written:
    """The files and counts of an extraction, as far as it is written. `drawn` is a sample of an only part."""

    next_seq: int
    rows: int = 0
    drawn: pa.Table | None = None
    good: list[DataFile] = field(default_factory=list)
    aside: list[DataFile] = field(default_factory=list)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    results: list[tuple[CheckResult, ...]] = field(default_factory=list)


class _Collection:
    """The collection of one source."""

    def __init__(self, root: Path, name: str, context: Context) -> None:
        self.root = root
        self.name = name
        self.context = context
        self.definition = context.graph[name]
        self.node: Source = self.definition.node  # type: ignore[assignment]
        self.target: Target = context.lake.target(name, dict(self.definition.schema or {}))
        self.place = place(self.node)
        self.sample = told(context.graph, context.release.sample, name)
        self.before = context.release.tables.get(name)
        self.damaged = None if self.before is None else context.damaged_file(self.before)
        self.base = self.before if self.before and self._continues(self.before) else None

    def outcome(self) -> StepResult:
        from mainstem.sources.extraction import Request

        observed = settled(self.node, self.root)
        cursor = self.base.cursor if self.base else None
        schema = visible(self.definition.schema or {})
        request = Request(self.name, self.node, self.root, cursor, schema, self.context.report)
        extraction = kind_of(self.node).extract(request)
        subject = subject_of(self.context, self.name, self._checks())
        written = self._write(extraction, subject)
        reached = extraction.cursor(written.names)
        properties = {PLACE: self.place, NEXT: str(written.next_seq), **({OBSERVED: observed} if observed else {})}
        properties |= {SAMPLED: self.sample} if self.sample else {}
        if self.base is not None and self._nothing_new(extraction, written, reached):
            return self._unchanged(reached, properties, extraction.message)
        return self._commit(extraction, subject, written, reached, properties)

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────

    def _write(self, extraction: Extraction, subject: Subject) -> _Written:
        start = int(self.base.properties.get(NEXT, 0)) if self.base and extraction.change != ReplaceAll() else 0
        written, kept = _Written(start), self._kept(extraction.change)
        for part in extraction.parts:
            files, drawn = self._write_part(part, written.next_seq)
            rows = sum(file.rows for file in files)
            earlier = [*kept, *(file.path for file in written.good)]
            good, aside, results = set_aside(self.context, subject, files, self.target, earlier)
            written.next_seq += rows
            written.rows += rows
            written.drawn = drawn if not written.names and not aside else None
            written.good += good
            written.aside += aside
            written.results.append(results)
            written.names[part.name] = tuple(Path(file.path).name for file in (*good, *aside))
            if part.name:
                self.context.report(f"{written.rows:,} rows, {Path(part.name).name}")
        return written

    def _kept(self, change: Change) -> list[str]:
        """Return the data files whose rows stay next to the new ones."""
        if self.base is None or change == ReplaceAll():
            return []
        return [path for path in self.context.lake.scan(self.base).files if Path(path).name not in _replaced(change)]

    def _write_part(self, part: Part, seq: int) -> tuple[tuple[DataFile, ...], pa.Table | None]:
        """Write the rows of a part. Return the files, and a sample of them unless they are few."""
        columns = {f.name: f.type for f in self.target.fields if f.name != SEQ}
        incoming = self._sampled(ibis.table(columns, name="incoming"))
        if any(f.name == SEQ for f in self.target.fields):
            incoming = incoming.mutate(**{SEQ: ibis.row_number() + seq})
        try:
            with self.context.engine.session({"incoming": part.relation}) as session:
                files = session.write(incoming, self.target)
                return files, draw(session, self.target, files)
        except (EngineError, SourceError) as error:
            if part.feed is not None and part.feed.error is not None:
                raise part.feed.error from error
            raise

    def _sampled(self, rows: ibis.Table) -> ibis.Table:
        sample = self.context.release.sample
        if sample is None or not self.sample:
            return rows
        return kept(rows, columns_of(self.context.graph, sample, self.name), sample.fraction)

    # ── committing ────────────────────────────────────────────────────────────────────────────────────

    def _commit(
        self,
        extraction: Extraction,
        subject: Subject,
        written: _Written,
        cursor: str | None,
        properties: dict[str, str],
    ) -> StepResult:
        everything = self.base is None or extraction.change == ReplaceAll()
        self._check_mended(extraction, written)
        base = None if everything else self.base
        kept = self._kept(extraction.change) if isinstance(extraction.change, ReplaceFiles) else None
        counting = Counting(self.context, self.target, written.good, written.drawn, base, kept)
        snapshot = self.context.lake.commit(
            self.name,
            self.target,
            written.good,
            base=base,
            run=self.context.run,
            change=self._change(extraction.change),
            cursor=cursor,
            properties=properties,
        )
        counted = counting.of(snapshot)
        judged = (*judge(self.context, subject, snapshot), *unusual(self.context, subject, counted))
        results = ordered(subject.checks, _summed(written.results), judged)
        refuse(self.name, results, where=self.definition.where, kept=snapshot.id)
        aside = keep_aside(
            self.context, self.name, written.aside, replaced="all" if everything else _replaced(extraction.change)
        )
        set_apart = sum(file.rows for file in written.aside)
        return StepResult(
            tables={self.name: snapshot, **aside},
            rows_in=written.rows,
            published=written.rows - set_apart,
            quarantined=set_apart,
            checks=results,
            message=extraction.message,
            records=(counted,),
        )

    def _check_mended(self, extraction: Extraction, written: _Written) -> None:
        """Refuse to replace a damaged snapshot that grew with a cursor by fewer rows than it had."""
        delivered = sum(file.rows for file in written.good)
        if self.damaged and self.before and extraction.change != ReplaceAll() and delivered < self.before.rows:
            raise SourceError(
                f"a stored file of {self.name!r} is damaged, and the source no longer delivers all rows",
                where=self.damaged,
                got=f"{delivered:,} rows",
                expected=f"{self.before.rows:,} rows, as stored",
                hint="mainstem restore, or put back a copy of the file, and then mainstem check --files",
            )

    def _unchanged(self, cursor: str | None, properties: dict[str, str], message: str) -> StepResult:
        """Keep the snapshot. The release only saves how the source looked."""
        assert self.base is not None
        kept = {**properties, NEXT: self.base.properties.get(NEXT, "0")}
        snapshot = replace(self.base, cursor=cursor if cursor is not None else self.base.cursor, properties=kept)
        said = "; ".join(filter(None, ("nothing new", message)))
        return StepResult(tables={self.name: snapshot}, rows_in=0, published=0, quarantined=0, message=said)

    def _nothing_new(self, extraction: Extraction, written: _Written, cursor: str | None) -> bool:
        assert self.base is not None
        if extraction.change == ReplaceAll():
            return cursor is not None and cursor == self.base.cursor
        return not written.rows and extraction.change == Append()

    def _change(self, change: Change) -> Change:
        """Return the change of the commit. The cursor has file names only, since a project may move; the lake needs
        paths."""
        if self.base is None:
            return ReplaceAll()
        if not isinstance(change, ReplaceFiles):
            return change
        files = self.context.lake.scan(self.base).files
        return ReplaceFiles(tuple(path for path in files if Path(path).name in change.files))

    # ── what applies ──────────────────────────────────────────────────────────────────────────────────

    def _continues(self, before: Snapshot) -> bool:
        """Return whether the cursor of the last snapshot is valid: same rows, same place, same schema, all sound."""
        same = before.fields == self.target.fields and before.properties.get(PLACE) == self.place
        same = same and before.properties.get(SAMPLED) == self.sample
        return same and self.damaged is None

    def _checks(self) -> tuple[Any, ...]:
        """Return the source's checks. A source with a cursor may deliver a key again; this is reported and does not
        block."""
        checks = declared(self.node)
        if not self.node.cursor:
            return checks
        own = set(self.node.checks)
        return tuple(replace(c, severity="warn") if isinstance(c, Unique) and c not in own else c for c in checks)


def _replaced(change: Change) -> frozenset[str]:
    return frozenset(change.files) if isinstance(change, ReplaceFiles) else frozenset()


def _summed(parts: Sequence[tuple[CheckResult, ...]]) -> tuple[CheckResult, ...]:
    """Return the sums of the quarantine results of all parts."""
    found: dict[str, CheckResult] = {}
    for result in (r for results in parts for r in results):
        sofar = found.get(result.label, replace(result, violations=0, rows=0, sample=()))
        found[result.label] = replace(
            sofar,
            violations=sofar.violations + result.violations,
            rows=sofar.rows + result.rows,
            sample=(*sofar.sample, *result.sample)[:5],
        )
    return tuple(found.values())
