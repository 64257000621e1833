"""The catalog of a lake: SQLite below its root, the database of a URL, or a REST server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from mainstem.lake.catalogs.base import NAMESPACE
from mainstem.lake.failures import explained, retried
from mainstem.lake.recovery import load

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from mainstem.lake.catalogs.base import LakeCatalog
    from mainstem.lake.places.base import Place

T = TypeVar("T")

_FILES = "mainstem.lake.files.LakeFiles"


def is_rest(url: str | None) -> bool:
    """Return whether a catalog's URL is that of a REST server."""
    return (url or "").startswith(("http://", "https://"))


def open_catalog(place: Place, url: str | None, rest: Mapping[str, str]) -> LakeCatalog:
    """Open the catalog of the lake at `place`. It is created if needed. `rest` has the settings of a REST server."""
    from pyiceberg.exceptions import NamespaceAlreadyExistsError

    from mainstem.lake.files import PLACE

    place.begin()
    properties: dict[str, Any] = {"warehouse": place.location("tables"), "py-io-impl": _FILES, PLACE: place}
    catalog = retried(lambda: _opened(place, url, rest, properties))
    with suppress(NamespaceAlreadyExistsError):
        retried(lambda: catalog.create_namespace(NAMESPACE))
    return catalog


def _opened(place: Place, url: str | None, rest: Mapping[str, str], properties: Mapping[str, Any]) -> LakeCatalog:
    if url is not None and is_rest(url):
        from mainstem.lake.catalogs.rest import Rest

        return Rest.at(url, rest, properties)
    from mainstem.lake.catalogs.sql import Sql

    return Sql.at(place, url, properties)


def folder(physical: str) -> str:
    """Return the folder of a physical table, from the lake's root on."""
    return f"tables/{physical}"


def change(catalog: LakeCatalog, place: Place, physical: str, attempt: Callable[[Table], T]) -> T:
    """Apply a change to the current table, and retry if another writer was faster. Raises `ConflictError`."""
    with explained(place.location(folder(physical))):
        return retried(lambda: attempt(load(catalog, (NAMESPACE, physical), place)))


def drop(catalog: LakeCatalog, place: Place, physical: str) -> None:
    """Delete a physical table with all of its files."""
    catalog.drop_table((NAMESPACE, physical))
    place.drop(folder(physical))
