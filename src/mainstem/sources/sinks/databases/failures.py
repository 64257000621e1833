"""Errors of databases that are written to, without passwords."""

from __future__ import annotations

from mainstem.errors import SinkError
from mainstem.nodes.databases import Database
from mainstem.sources.databases.base import no_entry
from mainstem.sources.secrets import redact


def away(node: Database, said: str) -> SinkError:
    """Return the error for a database that cannot be reached, refuses the login, or went away. It may pass."""
    return no_entry(SinkError, node, said)


def refused(node: Database, said: str) -> SinkError:
    """Return the error for rows or statements that a database refused. Nothing was written."""
    return SinkError(
        "the database refused the rows",
        where=f"{node.table} of {redact(node.url)}",
        got=redact(said, node.url),
        hint="nothing was written; the user needs the right to write to the table and to create tables",
    )
