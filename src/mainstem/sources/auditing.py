"""Hold rows of a source to its quarantine checks: the new ones, and those that are stored if the checks changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mainstem.checks.audit import set_aside
from mainstem.ports import DataFile
from mainstem.sources.stored import Stored

if TYPE_CHECKING:
    from mainstem.checks.violations import Subject
    from mainstem.nodes.records import CheckResult
    from mainstem.planning.execution import Context
    from mainstem.ports import Target


@dataclass
class Audit:
    """The quarantine checks of `subject`. `target` and `place` are where rows are written that pass, and others.

    `aside` are the files of the others.
    """

    context: Context
    subject: Subject
    target: Target
    place: Target
    aside: list[DataFile] = field(default_factory=list)
    _found: list[tuple[CheckResult, ...]] = field(default_factory=list)

    def fresh(self, files: Sequence[DataFile], earlier: Sequence[str]) -> list[DataFile]:
        """Set aside the new rows that violate a check. Return the files of the others. `earlier` are stored files."""
        fresh = list[DataFile]()
        for file in files:
            good, _ = self._split(file, [*earlier, *(each.path for each in fresh)])
            fresh += good
        return fresh

    def stored(self, stored: Stored) -> Stored:
        """Hold what is stored to the checks. Rows that violate one are set aside."""
        files = {file.path: file for file in stored.made}
        kept, gone, made = list[str](), list(stored.gone), list[DataFile]()
        for path in stored.paths:
            file = files.get(path) or DataFile(path, _rows(path))
            good, bad = self._split(file, [*kept, *(each.path for each in made)])
            if path in files:
                made += good
            elif bad:
                gone.append(path)
                made += good
            else:
                kept.append(path)
        return Stored(kept, gone, made)

    def results(self) -> tuple[CheckResult, ...]:
        """Return the sums of the results of all parts."""
        found: dict[str, CheckResult] = {}
        for result in (each for results in self._found for each in results):
            sofar = found.get(result.label, replace(result, violations=0, rows=0, sample=()))
            found[result.label] = replace(
                sofar,
                violations=sofar.violations + result.violations,
                rows=sofar.rows + result.rows,
                sample=(*sofar.sample, *result.sample)[:5],
            )
        return tuple(found.values())

    def _split(self, file: DataFile, earlier: Sequence[str]) -> tuple[tuple[DataFile, ...], tuple[DataFile, ...]]:
        good, bad, results = set_aside(self.context, self.subject, [file], self.target, earlier, self.place)
        self.aside += bad
        self._found.append(results)
        return good, bad


def _rows(path: str) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)
