"""A catalog in an SQL database. All names that readers outside Mainstem see move in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.sql import (  # noqa: TID253 - imported where a catalog is opened
    IcebergNamespaceProperties,
    IcebergTables,
    SqlCatalog,
)
from sqlalchemy import URL, delete, insert, make_url, or_, select
from sqlalchemy.exc import IntegrityError

from mainstem.lake.catalogs.base import NAMESPACE, SHOWN, split

if TYPE_CHECKING:
    from mainstem.lake.places.base import Place


class Sql(SqlCatalog):
    """The tables of a lake in a database."""

    @classmethod
    def at(cls, place: Place, url: str | None, properties: Mapping[str, Any]) -> Sql:
        """Open the catalog at a URL of SQLAlchemy; without one, in SQLite below the lake's root."""
        # A path is no URL: a directory's name may have a `?` or a `%`.
        database = str(place.root / "catalog.db")
        home = make_url(url) if url else URL.create("sqlite", database=database, query={"timeout": "60"})
        if home.drivername == "postgresql":
            home = home.set(drivername="postgresql+psycopg")
        return cls(NAMESPACE, **{**properties, "uri": home})

    def offer(self, places: Mapping[str, str]) -> None:
        rows = []
        for name, place in places.items():
            above, last = split(name)
            rows.append(
                {
                    "catalog_name": self.name,
                    "table_namespace": above,
                    "table_name": last,
                    "metadata_location": place,
                    "iceberg_type": "TABLE",
                }
            )
        with self.engine.begin() as connection:
            connection.execute(delete(IcebergTables).where(*self._shown()))
            if rows:
                connection.execute(insert(IcebergTables), rows)

    def offered(self) -> set[str]:
        with self.engine.connect() as connection:
            places = connection.execute(select(IcebergTables.metadata_location).where(*self._shown())).scalars()
            return {place for place in places if place is not None}

    @contextmanager
    def proposed(self, where: str, value: str) -> Iterator[str]:
        """An object store has no write that only the first one wins. A row of the catalog has."""
        row = IcebergNamespaceProperties
        key = {
            row.catalog_name: self.name,
            row.namespace: NAMESPACE,
            row.property_key: f"new {hashlib.sha256(where.encode()).hexdigest()}",
        }
        is_it = [column == text for column, text in key.items()]
        values = {column.key: text for column, text in key.items()}
        with suppress(IntegrityError), self.engine.begin() as connection:
            connection.execute(insert(row).values(**values, property_value=value))
        with self.engine.connect() as connection:
            first = connection.execute(select(row.property_value).where(*is_it)).scalar()
        yield first or value  # without a row, another machine has ended with it
        with self.engine.begin() as connection:
            connection.execute(delete(row).where(*is_it))

    def _shown(self) -> tuple[Any, ...]:
        space = IcebergTables.table_namespace
        return IcebergTables.catalog_name == self.name, or_(space == SHOWN, space.startswith(f"{SHOWN}."))
