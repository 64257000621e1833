"""The SQL catalog of a lake: SQLite below its root, or the database of a URL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from mainstem.lake.failures import explained, retried
from mainstem.lake.recovery import load

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

    from mainstem.lake.places.base import Place

T = TypeVar("T")

NAMESPACE = "mainstem"
"""The name of the catalog, and of its namespace of physical tables."""

_FILES = "mainstem.lake.files.LakeFiles"


def open_catalog(place: Place, url: str | None) -> SqlCatalog:
    """Open the catalog of the lake at `place`. It is created if needed."""
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import NamespaceAlreadyExistsError
    from sqlalchemy import URL, make_url

    from mainstem.lake.files import PLACE

    place.begin()
    # A path is no URL: a directory's name may have a `?` or a `%`.
    database = str(place.root / "catalog.db")
    home = make_url(url) if url else URL.create("sqlite", database=database, query={"timeout": "60"})
    if home.drivername == "postgresql":
        home = home.set(drivername="postgresql+psycopg")
    properties: dict[str, Any] = {
        "uri": home,
        "warehouse": place.location("tables"),
        "py-io-impl": _FILES,
        PLACE: place,
    }
    catalog = retried(lambda: SqlCatalog(NAMESPACE, **properties))
    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(NAMESPACE)
    return catalog


@contextmanager
def proposed(catalog: SqlCatalog, where: str, value: str) -> Iterator[str]:
    """Yield the value that was proposed first for what is new at `where`; other machines may propose theirs meanwhile.

    An object store has no write that only the first one wins. A row of the catalog has.
    """
    from pyiceberg.catalog.sql import IcebergNamespaceProperties as Row
    from sqlalchemy import delete, insert, select
    from sqlalchemy.exc import IntegrityError

    key = {
        Row.catalog_name: catalog.name,
        Row.namespace: NAMESPACE,
        Row.property_key: f"new {hashlib.sha256(where.encode()).hexdigest()}",
    }
    is_it = [column == text for column, text in key.items()]
    values = {column.key: text for column, text in key.items()}
    with suppress(IntegrityError), catalog.engine.begin() as connection:
        connection.execute(insert(Row).values(**values, property_value=value))
    with catalog.engine.connect() as connection:
        first = connection.execute(select(Row.property_value).where(*is_it)).scalar()
    yield first or value  # without a row, another machine has ended with it
    with catalog.engine.begin() as connection:
        connection.execute(delete(Row).where(*is_it))


def folder(physical: str) -> str:
    """Return the folder of a physical table, from the lake's root on."""
    return f"tables/{physical}"


def change(catalog: SqlCatalog, place: Place, physical: str, attempt: Callable[[Table], T]) -> T:
    """Apply a change to the current table, and retry if another writer was faster. Raises `ConflictError`."""
    with explained(place.location(folder(physical))):
        return retried(lambda: attempt(load(catalog, (NAMESPACE, physical), place)))


def drop(catalog: SqlCatalog, place: Place, physical: str) -> None:
    """Delete a physical table with all of its files."""
    catalog.drop_table((NAMESPACE, physical))
    place.drop(folder(physical))
