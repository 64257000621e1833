"""Kinds of databases, one module each, by the scheme of a URL. Any other scheme is read by SQLAlchemy.

The modules are imported where they are used, because a plan only asks whether a file has changed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mainstem.sources.databases.base import Dialect

DIALECTS = {
    "postgresql": "postgresql:PostgreSQL",
    "postgres": "postgresql:PostgreSQL",
    "sqlite": "sqlite:SQLite",
    "mysql": "mysql:MySQL",
    "mariadb": "mysql:MySQL",
    "duckdb": "duckdb:DuckDB",
}
"""The module and the class of each scheme."""


def scheme(url: str) -> str:
    """Return the scheme of a URL, without the driver after `+`."""
    return url.partition(":")[0].partition("+")[0]


def dialect_of(url: str) -> Dialect:
    """Return the kind of the database at a URL."""
    module, name = DIALECTS.get(scheme(url), "alchemy:SQLAlchemy").split(":")
    made: Dialect = getattr(import_module(f"{__name__}.{module}"), name)()
    return made
