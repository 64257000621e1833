"""What was erased of one key: the report of `mainstem erase`, without the key itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mainstem.nodes.records import now
from mainstem.ports import Snapshot


@dataclass(frozen=True)
class Erasure:
    """What was erased, or in a rehearsal would be.

    `rows` are the published rows by branch and relation, as in `main: orders`. `files` are the data files that had such
    rows, of all releases, and `snapshots` those that are gone with them. `releases` cannot be read or published any
    more. `versions` are model versions that cannot be reproduced. `views` were built again from the lake, and `logged`
    rows were deleted from the online store. `derived` are relations that still have what was computed from the rows:
    the next run builds them again. `left` says what was not reached.
    """

    id: str
    columns: tuple[str, ...]
    rows: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    snapshots: int = 0
    releases: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    logged: int = 0
    derived: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    rehearsed: bool = False
    erased_at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class Replaced:
    """The snapshot that has the rows of an erased one without those that were erased. `relation` is its table, and the
    id is that of the erased snapshot."""

    id: str
    relation: str
    instead: Snapshot
