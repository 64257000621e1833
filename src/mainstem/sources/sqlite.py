"""SQLite: the path of a database, its rows as they are stored, and the meaning of declared column types.

Each value has a type of its own. A column of a batch gets the type that holds all its values exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.sources import Database
from mainstem.sources.secrets import expand, redact

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import pyarrow as pa

Row = tuple[Any, ...]

BATCH = 65_536
"""Rows per batch."""


def file_of(url: str, root: Path) -> Path:
    """Return the file of `sqlite:///data/registry.db`: below the project, or absolute with four slashes."""
    return root / expand(url).removeprefix("sqlite:///")


def read_only(url: str, root: Path) -> str:
    """Return the URI that opens the database for reading. Raises `SourceUnreachable` if there is no such file."""
    file = file_of(url, root)
    if not file.is_file():
        raise SourceUnreachable("the database file does not exist", where=str(file), got=redact(url))
    return f"{file.absolute().as_uri()}?mode=ro"


@contextmanager
def answered(
    node: Database, root: Path, sql: str, parameters: Sequence[Any]
) -> Iterator[tuple[tuple[str, ...], Iterator[list[Row]]]]:
    """Provide the names of the columns that a query answers with, and its rows in groups; at least one group.

    Raises `SourceUnreachable` and `SourceError`.
    """
    import sqlite3

    from mainstem.sources.adbc import refused

    try:
        with closing(sqlite3.connect(read_only(node.url, root), uri=True)) as connection:
            cursor = connection.execute(sql, tuple(parameters))
            yield tuple(each[0] for each in cursor.description), _groups(cursor)
    except sqlite3.Error as error:
        raise refused(node, str(error), sql) from error


def _groups(cursor: Any) -> Iterator[list[Row]]:
    yield (rows := cursor.fetchmany(BATCH))
    while rows:
        if rows := cursor.fetchmany(BATCH):
            yield rows


def batch_of(names: Sequence[str], rows: Sequence[Row], known: Mapping[str, str], where: str) -> pa.RecordBatch:
    """Return rows as a batch. `known` are the Ibis types of columns so far. Raises `SourceError` for values that no
    type holds together."""
    import pyarrow as pa

    values = zip(*rows, strict=True) if rows else [()] * len(names)
    columns = [_column(name, some, known.get(name, ""), where) for name, some in zip(names, values, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _column(name: str, values: Sequence[Any], known: str, where: str) -> pa.Array:
    """Return values as a column. In a boolean column 0 and 1 are booleans; numbers beside texts are texts."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and known == "boolean" and set(values) <= {0, 1, None}:
        return pa.array([None if value is None else value == 1 for value in values], pa.bool_())
    if not kinds:
        return pa.nulls(len(values))
    if len(kinds) == 1:
        return pa.array(
            values, {int: pa.int64(), float: pa.float64(), bytes: pa.binary()}.get(kinds.pop(), pa.string())
        )
    if bytes in kinds:
        raise SourceError(
            f"{name!r} has blobs beside other values",
            where=where,
            expected="blobs, or none",
            hint=f'query="SELECT …, hex({name}) AS {name} FROM …"',
        )
    if kinds == {int, float} and known != "string" and not known.startswith("decimal"):
        return _floats(name, values, where)
    return pa.array(
        [value if value is None or isinstance(value, str) else repr(value) for value in values], pa.string()
    )


def _floats(name: str, values: Sequence[Any], where: str) -> pa.Array:
    import pyarrow as pa

    from mainstem.sources.evolution import lossy
    from mainstem.sources.texts import EXACT

    for value in values:
        if isinstance(value, int) and abs(value) > EXACT:
            raise lossy(name, "int64", "float64", str(value), where)
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


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
