"""A catalog that is behind the lake, because it is gone or was restored from an earlier backup.

Every commit writes a metadata file, and then lets the catalog point to it. So a catalog that does not know a table, or
a snapshot that a release refers to, is pointed to the newest metadata file that has it. No row is lost.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from mainstem.lake.catalogs.base import LakeCatalog
    from mainstem.lake.places.base import Place

logger = logging.getLogger(__name__)


class _Snapshot(msgspec.Struct, rename="kebab"):
    snapshot_id: int


class _Metadata(msgspec.Struct, rename="kebab"):
    last_updated_ms: int
    snapshots: list[_Snapshot] = []


def load(catalog: LakeCatalog, name: tuple[str, str], place: Place, snapshot: int | None = None) -> Table:
    """Return a physical table that has a snapshot.

    Raises `NoSuchTableError` if neither the catalog nor the lake's place knows the table. A snapshot that only earlier
    metadata has was deleted: the table is then returned as the catalog knows it.
    """
    from pyiceberg.exceptions import NoSuchTableError

    try:
        table = catalog.load_table(name)
    except NoSuchTableError:
        metadata = _newest(place, name[-1], snapshot)
        if metadata is None:
            raise
        return _pointed(catalog, name, place.location(metadata))
    if snapshot is None or any(each.snapshot_id == snapshot for each in table.metadata.snapshots):
        return table
    metadata = _newest(place, name[-1], snapshot, table.metadata.last_updated_ms)
    return table if metadata is None else _pointed(catalog, name, place.location(metadata))


def _newest(place: Place, physical: str, snapshot: int | None, since: int = 0) -> str | None:
    """Return the newest metadata file, of those after `since` (ms) that have the snapshot. Unreadable files are left
    out."""
    found: list[tuple[int, str]] = []
    for entry in place.listing(f"tables/{physical}/metadata"):
        if not entry.name.endswith(".metadata.json"):
            continue
        with suppress(OSError, msgspec.MsgspecError):
            known = msgspec.json.decode(place.here(entry.name).read_bytes(), type=_Metadata)
            has = snapshot is None or any(each.snapshot_id == snapshot for each in known.snapshots)
            if has and known.last_updated_ms > since:
                found.append((known.last_updated_ms, entry.name))
    return max(found, default=(0, None))[1]


def _pointed(catalog: LakeCatalog, name: tuple[str, str], metadata: str) -> Table:
    from pyiceberg.exceptions import NoSuchTableError

    told = "the catalog is behind the lake: it is pointed to the newest metadata of %s, %s"
    logger.warning(told, name[-1], metadata.rpartition("/")[2])
    with suppress(NoSuchTableError):
        catalog.drop_table(name)
    return catalog.register_table(name, metadata)
