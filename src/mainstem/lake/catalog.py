"""The SQL catalog of a lake: SQLite below its root, or the database of a URL."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mainstem.lake.failures import explained, retried
from mainstem.lake.recovery import load

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

T = TypeVar("T")

NAMESPACE = "mainstem"
"""The name of the catalog, and of its namespace of physical tables."""

_FILES = "mainstem.lake.files.LakeFiles"


def open_catalog(root: Path, url: str | None) -> SqlCatalog:
    """Open the catalog of the lake at `root`. It is created if needed."""
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import NamespaceAlreadyExistsError
    from sqlalchemy import URL, make_url

    from mainstem.lake.files import ROOT

    root.mkdir(parents=True, exist_ok=True)
    # A path is no URL: a directory's name may have a `?` or a `%`.
    place = make_url(url) if url else URL.create("sqlite", database=str(root / "catalog.db"), query={"timeout": "60"})
    if place.drivername == "postgresql":
        place = place.set(drivername="postgresql+psycopg")
    properties: dict[str, Any] = {
        "uri": place,
        "warehouse": str(root / "tables"),
        "py-io-impl": _FILES,
        ROOT: str(root),
    }
    catalog = retried(lambda: SqlCatalog(NAMESPACE, **properties))
    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(NAMESPACE)
    return catalog


def location(root: Path, physical: str) -> Path:
    """Return the directory of a physical table."""
    return root / "tables" / physical


def change(catalog: SqlCatalog, root: Path, physical: str, attempt: Callable[[Table], T]) -> T:
    """Apply a change to the current table, and retry if another writer was faster. Raises `ConflictError`."""
    with explained(str(location(root, physical))):
        return retried(lambda: attempt(load(catalog, (NAMESPACE, physical), location(root, physical))))


def drop(catalog: SqlCatalog, root: Path, physical: str) -> None:
    """Delete a physical table with all of its files."""
    catalog.drop_table((NAMESPACE, physical))
    shutil.rmtree(location(root, physical))
