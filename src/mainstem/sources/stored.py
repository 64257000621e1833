"""What is published of a source, as a collection keeps it beside the new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mainstem.ports import DataFile, ReplaceAll
from mainstem.sources.carrying import carried, origins_of, without
from mainstem.sources.extraction import ReplaceOrigins

if TYPE_CHECKING:
    from mainstem.planning.execution import Context
    from mainstem.ports import Change, Snapshot, Target
    from mainstem.sources.extraction import Replacement
    from mainstem.sources.writing import Batch


@dataclass
class Stored:
    """The rows of a snapshot that stay: `kept` are its data files that stay, `gone` are those that do not, and `made`
    are new ones with the rows of some that are gone."""

    kept: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    made: list[DataFile] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [*self.kept, *(file.path for file in self.made)]

    def without(self, gone: Sequence[str], left: Sequence[DataFile]) -> Stored:
        """Return what stays if some of the files are replaced by those that are `left` of their rows."""
        taken = set(gone)
        return Stored(
            [path for path in self.kept if path not in taken],
            [*self.gone, *(path for path in self.kept if path in taken)],
            [*(file for file in self.made if file.path not in taken), *left],
        )


def stored(
    context: Context,
    snapshot: Snapshot | None,
    change: Change | Replacement,
    target: Target,
    where: str,
    published: Snapshot | None = None,
) -> Stored:
    """Return what stays of a snapshot next to new rows that replace some, in the target's schema.

    `published` is the source's own snapshot, whose cursor may say which file each data file has the rows of.
    """
    if snapshot is None or change == ReplaceAll():
        return Stored()
    held = Stored(kept=list(context.lake.scan(snapshot).files))
    if snapshot.fields != target.fields:
        origins = origins_of(published) if published else {}
        made = carried(context, held.kept, snapshot.fields, target, where, origins)
        held = Stored(gone=held.kept, made=list(made))
    paths = change.paths if isinstance(change, ReplaceOrigins) else ()
    return held.without(*without(context, held.paths, target, paths)) if paths else held


def in_schema(context: Context, batches: Sequence[Batch], target: Target, where: str) -> list[DataFile]:
    """Return the files of batches in the target's schema. Those that were written in another one are written again."""
    found = list[DataFile]()
    for files, fields in batches:
        if fields == target.fields:
            found.extend(files)
        else:
            found += carried(context, [file.path for file in files], fields, target, where)
    return found
