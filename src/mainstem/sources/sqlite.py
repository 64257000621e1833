"""SQLite: the path of a database, and the meaning of declared column types."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.errors import SourceUnreachable
from mainstem.sources.secrets import expand, redact

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt


def file_of(url: str, root: Path) -> Path:
    """Return the file of `sqlite:///data/registry.db`: below the project, or absolute with four slashes."""
    return root / expand(url).removeprefix("sqlite:///")


def read_only(url: str, root: Path) -> str:
    """Return the URI that opens the database for reading. Raises `SourceUnreachable` if there is no such file."""
    file = file_of(url, root)
    if not file.is_file():
        raise SourceUnreachable("the database file does not exist", where=str(file), got=redact(url))
    return f"{file.absolute().as_uri()}?mode=ro"


def declared_types(url: str, root: Path, table: str) -> dict[str, dt.DataType]:
    """Return the types of the columns that declare one. The driver does not report them."""
    import sqlite3

    with closing(sqlite3.connect(read_only(url, root), uri=True)) as connection:
        rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
    return {name: type for name, declared in rows if (type := _affinity(declared.upper())) is not None}


def _affinity(declared: str) -> dt.DataType | None:
    """Return the meaning of a declared type in SQLite; None if it has none."""
    import ibis.expr.datatypes as dt

    words = (
        ("BOOL", dt.boolean),
        ("DATETIME", dt.timestamp),
        ("TIMESTAMP", dt.timestamp),
        ("DATE", dt.date),
        ("INT", dt.int64),
        ("CHAR", dt.string),
        ("TEXT", dt.string),
        ("CLOB", dt.string),
        ("BLOB", dt.binary),
        ("REAL", dt.float64),
        ("FLOA", dt.float64),
        ("DOUB", dt.float64),
        ("DEC", dt.float64),
        ("NUM", dt.float64),
    )
    return next((type for word, type in words if word in declared), None)
