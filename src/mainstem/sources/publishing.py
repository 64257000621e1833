"""Commit what a collection has: the rows of a source, and those that are set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mainstem.checks.audit import judge, ordered
from mainstem.checks.examine import refuse
from mainstem.checks.unusual import unusual
from mainstem.ports import Change, DataFile, ReplaceAll, ReplaceFiles, Snapshot, Target
from mainstem.sources.extraction import Merge
from mainstem.sources.replacing import superseded
from mainstem.sources.stored import Stored, stored
from mainstem.sources.writing import PREFIX
from mainstem.statistics.keeping import Counting

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.nodes.records import CheckResult
    from mainstem.nodes.statistics import Statistics
    from mainstem.planning.execution import Context
    from mainstem.sources.auditing import Audit
    from mainstem.sources.extraction import Replacement


class New(NamedTuple):
    """What a collection publishes: rows that stay, new rows, perhaps a sample of them, and how far the source was
    read."""

    target: Target
    held: Stored
    fresh: Sequence[DataFile]
    drawn: pa.Table | None
    cursor: str | None
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Publishing:
    """Commits rows of the source `name` to the snapshot `base`. `retakes` says that all rows that were set aside come
    in again."""

    context: Context
    name: str
    base: Snapshot | None
    retakes: bool

    def publish(
        self, change: Replacement, new: New, audit: Audit
    ) -> tuple[Snapshot, Statistics, tuple[CheckResult, ...]]:
        """Commit the rows, count them, and judge them by the other checks. Raises `CheckFailed`."""
        context, held, subject = self.context, new.held, audit.subject
        is_same = self.base is not None and self.base.fields == new.target.fields
        goes_on = is_same and change != ReplaceAll()
        base = self.base if goes_on else None
        good = [*held.made, *new.fresh]
        stay = held.kept if goes_on and held.gone else None
        counting = Counting(context, new.target, good, new.drawn, base, stay)
        snapshot = context.lake.commit(
            self.name,
            new.target,
            good,
            base=base,
            run=context.run,
            change=ReplaceFiles(tuple(held.gone)) if goes_on else ReplaceAll(),
            cursor=new.cursor,
            properties=new.properties,
        )
        counted = counting.of(snapshot)
        judged = (*judge(context, subject, snapshot), *unusual(context, subject, counted))
        results = ordered(subject.checks, audit.results(), judged)
        refuse(self.name, results, where=self._where, kept=snapshot.id)
        return snapshot, counted, results

    def keep_aside(
        self, change: Replacement, target: Target, files: Sequence[DataFile], fresh: Sequence[DataFile]
    ) -> dict[str, Snapshot]:
        """Commit the rows set aside, beside those of earlier runs that are not replaced. `fresh` are the other rows."""
        relation = PREFIX + self.name
        base = self.context.release.tables.get(relation)
        stays = self.base is not None and not self.retakes
        held = stored(self.context, base if stays else None, change, target, self._where, self.base)
        if isinstance(change, Merge) and held.paths:
            held = held.without(*superseded(self.context, held.paths, target, change, fresh, files))
        has_rows = base is not None and bool(self.context.lake.scan(base).files)
        is_same = base is not None and base.fields == target.fields
        if not files and (not has_rows or (is_same and not held.gone and stays)):
            return {}
        how: Change = ReplaceFiles(tuple(held.gone)) if is_same and held.kept else ReplaceAll()
        return {
            relation: self.context.lake.commit(
                relation,
                target,
                [*held.made, *files],
                base=base if isinstance(how, ReplaceFiles) else None,
                run=self.context.run,
                change=how,
            )
        }

    @property
    def _where(self) -> str:
        return self.context.graph[self.name].where
