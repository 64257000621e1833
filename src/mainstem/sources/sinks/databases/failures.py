"""Errors of databases that are written to, without passwords."""

from __future__ import annotations

from mainstem.errors import SinkError
from mainstem.nodes.databases import Database
from mainstem.sources.secrets import redact


def away(node: Database, said: str) -> SinkError:
    """Return the error for a database that cannot be reached, refuses the login, or went away. It may pass."""
    refused = any(word in said.lower() for word in ("password", "authentication", "access denied"))
    return SinkError(
        "the database refuses the login" if refused else "the database cannot be reached",
        where=redact(node.url),
        got=redact(said, node.url),
        expected="a connection",
        hint="check the user and the password" if refused else "check the server and the url",
    ).passing(not refused)


def refused(node: Database, said: str) -> SinkError:
    """Return the error for rows or statements that a database refused. Nothing was written."""
    return SinkError(
        "the database refused the rows",
        where=f"{node.table} of {redact(node.url)}",
        got=redact(said, node.url),
        hint="nothing was written; the user needs the right to write to the table and to create tables",
    )
