"""Databases in a file: SQLite and DuckDB. Without heavy libraries, because every plan looks at these files."""

from __future__ import annotations

from pathlib import Path

from mainstem.errors import SourceUnreachable
from mainstem.graph.fingerprint import digest
from mainstem.sources.listing import stamp
from mainstem.sources.secrets import expand, redact

LOGS = {"sqlite": "{name}-wal", "duckdb": "{name}.wal"}
"""The name of the file with what was written last, by scheme."""


def file_of(url: str, root: Path) -> Path:
    """Return the file of `sqlite:///data/registry.db`: below the project, or absolute with four slashes."""
    return root / expand(url).partition(":///")[2].partition("?")[0]


def existing(url: str, root: Path) -> Path:
    """Return the file. Raises `SourceUnreachable` if there is no such file."""
    file = file_of(url, root)
    if not file.is_file():
        raise SourceUnreachable("the database file does not exist", where=str(file), got=redact(url))
    return file


def observed(scheme: str, url: str, root: Path) -> str | None:
    """Return a text that changes if the file does; None for a database that is not a file.

    Raises `FileNotFoundError`.
    """
    if scheme not in LOGS:
        return None  # a server does not report when its data changed
    file = file_of(url, root)
    if stamp(file) is None:
        raise FileNotFoundError(file)
    return digest(repr(stamp(file)), repr(stamp(file.with_name(LOGS[scheme].format(name=file.name)))))
