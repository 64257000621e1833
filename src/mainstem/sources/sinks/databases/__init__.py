"""Databases that sinks write to, one module each, by the scheme of a URL."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mainstem.nodes.databases import Database
from mainstem.sources.databases import scheme
from mainstem.sources.sinks.databases.target import DatabaseTarget

WRITERS = {
    "postgresql": "postgresql:PostgreSQL",
    "postgres": "postgresql:PostgreSQL",
    "mysql": "mysql:MySQL",
    "mariadb": "mysql:MySQL",
    "sqlite": "sqlite:SQLite",
    "duckdb": "duckdb:DuckDB",
}
"""The module and the class of each scheme."""


def database(node: Database, root: Path, name: str) -> DatabaseTarget:
    """Return the target of a sink that writes to a database."""
    module, _, kind = WRITERS[scheme(node.url)].partition(":")
    writer = getattr(import_module(f"{__name__}.{module}"), kind)(node, root)
    return DatabaseTarget(node, writer, name)
