"""Count the rows of a snapshot on a thread of its own, beside the commit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from mainstem.errors import StorageError
from mainstem.nodes.hidden import is_hidden
from mainstem.nodes.statistics import ColumnStatistics, Sample, Statistics, statistics_id
from mainstem.planning.execution import Context
from mainstem.ports import DataFile, Engine, Snapshot, Target
from mainstem.statistics.columns import column_statistics
from mainstem.statistics.exact import count_files, merged
from mainstem.statistics.sampling import SEED, of_new, of_stored, together

if TYPE_CHECKING:
    import pyarrow as pa


class Counting:
    """The statistics of a relation that is being committed.

    `files` are new, and `drawn` is a sample of them, if there is one. `base` is the snapshot that they are added to,
    and `kept` those of its files that stay: None for all of them. Then what was counted of the base is not counted
    again.
    """

    def __init__(
        self,
        context: Context,
        target: Target,
        files: Sequence[DataFile],
        drawn: pa.Table | None = None,
        base: Snapshot | None = None,
        kept: Sequence[str] | None = None,
    ) -> None:
        before = context.records.get(Statistics, statistics_id(base)) if base and kept is None else None
        stay = () if base is None else context.lake.scan(base).files if kept is None else tuple(kept)
        stored = base.rows if base and kept is None else None
        new = _New(context.engine, target, tuple(files), drawn)
        pool = ThreadPoolExecutor(1, "statistics")
        self._columns: Future[_Counted] = pool.submit(_count, new, tuple(stay), stored, before)
        pool.shutdown(wait=False)

    def of(self, snapshot: Snapshot) -> Statistics:
        """Return the statistics as those of the snapshot that was committed. Raises `StorageError`."""
        try:
            columns, sampled = self._columns.result()
        except (OSError, ValueError) as problem:  # Arrow's errors are ValueErrors
            raise StorageError("the rows of a snapshot cannot be counted", got=str(problem)) from problem
        return Statistics(
            id=statistics_id(snapshot),
            table=snapshot.table,
            snapshot=snapshot.id,
            run=snapshot.run,
            rows=snapshot.rows,
            columns=columns,
            sample=Sample(sampled, SEED, sampled == snapshot.rows),
        )


_Counted = tuple[dict[str, ColumnStatistics], int]


class _New(NamedTuple):
    engine: Engine
    target: Target
    files: tuple[DataFile, ...]
    drawn: pa.Table | None


def _count(new: _New, stay: Sequence[str], stored: int | None, before: Statistics | None) -> _Counted:
    """Return the statistics of the visible columns, and the number of sampled rows."""
    fields = [field for field in new.target.fields if not is_hidden(field.name)]
    added = [file.path for file in new.files]
    if before is None:
        counts = count_files([*stay, *added], fields)
    else:
        counts = merged(before.columns, count_files(added, fields))
    drawn = new.drawn if new.drawn is not None else of_new(new.engine, new.target, new.files)
    if stay:
        rows = _rows(stay) if stored is None else stored
        drawn = together([(of_stored(stay, new.target.fields), rows), (drawn, sum(file.rows for file in new.files))])
    columns = {name: drawn[name] for name in drawn.column_names}
    return {f.name: column_statistics(f.type, counts[f.name], columns.get(f.name)) for f in fields}, drawn.num_rows


def _rows(paths: Sequence[str]) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(path).num_rows for path in paths)
