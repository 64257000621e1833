"""The names under which readers outside Mainstem find the published tables: `main.legs`, whatever its schema is.

A name is a row of the catalog that refers to the metadata file of a commit. All names move in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog

NAMESPACE = "main"


def offer(catalog: SqlCatalog, places: Mapping[str, str]) -> None:
    """Let each name refer to the metadata file at its place, and drop all other names: `quarantine.legs` is the table
    `legs` in the namespace `main.quarantine`."""
    from pyiceberg.catalog.sql import IcebergTables
    from sqlalchemy import delete, insert

    rows = []
    for name, place in places.items():
        above, _, last = f"{NAMESPACE}.{name}".rpartition(".")
        rows.append(
            {
                "catalog_name": catalog.name,
                "table_namespace": above,
                "table_name": last,
                "metadata_location": place,
                "iceberg_type": "TABLE",
            }
        )
    with catalog.engine.begin() as connection:
        connection.execute(delete(IcebergTables).where(*_ours(catalog)))
        if rows:
            connection.execute(insert(IcebergTables), rows)


def offered(catalog: SqlCatalog) -> set[str]:
    """Return the places of the metadata files that the names refer to."""
    from pyiceberg.catalog.sql import IcebergTables
    from sqlalchemy import select

    with catalog.engine.connect() as connection:
        places = connection.execute(select(IcebergTables.metadata_location).where(*_ours(catalog))).scalars()
        return {place for place in places if place is not None}


def _ours(catalog: SqlCatalog) -> tuple[Any, ...]:
    from pyiceberg.catalog.sql import IcebergTables
    from sqlalchemy import or_

    space = IcebergTables.table_namespace
    return IcebergTables.catalog_name == catalog.name, or_(space == NAMESPACE, space.startswith(f"{NAMESPACE}."))
