"""The SQL catalog of a lake: SQLite below its root, or the database of a URL."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.lake.failures import retried

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog

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
