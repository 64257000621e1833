"""The tables of the state in the present version. `migrations` upgrades a database to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement, literal
from sqlalchemy.sql.functions import FunctionElement

REVISION = "0002"
"""The revision of `migrations/versions` that this module describes."""

metadata = MetaData()

records = Table(
    "records",
    metadata,
    # SQLite generates row numbers only if the type is INTEGER.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("id", String, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "id", name="records_kind_id"),
    sqlite_autoincrement=True,
)

branches = Table(
    "branches",
    metadata,
    Column("name", String, primary_key=True),
    Column("release", String, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String, primary_key=True),
    Column("last", BigInteger, nullable=False),
)


def revision(engine: Engine) -> str | None:
    """Return the revision of a database; None if it has no tables yet."""
    try:
        with engine.connect() as connection:
            found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return found
    except DBAPIError:
        with engine.connect():  # an unreachable database fails again at the next statement, with its own error
            return None


def create(engine: Engine) -> bool:
    """Create the tables in a SQLite database that has none, and return whether it had none. If several processes try,
    one of them does it."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar():
            return False
        metadata.create_all(connection)
        connection.execute(
            text(
                "CREATE TABLE alembic_version "
                "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
            )
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:found)"), {"found": REVISION})
        connection.commit()
        return True


class json_text(FunctionElement[str]):
    """Return a top-level field of a JSON document as text: strings without quotes, numbers and booleans as JSON."""

    type = String()
    name = "json_text"
    inherit_cache = True

    def __init__(self, document: ColumnElement[str], field: str) -> None:
        super().__init__(document, literal(field))


@compiles(json_text, "sqlite")
def _sqlite(element: Any, compiler: Any, **options: Any) -> str:
    document, field = (compiler.process(clause, **options) for clause in element.clauses)
    path = f"'$.\"' || {field} || '\"'"
    # SQLite converts a boolean to 1 or 0.
    return (
        f"CASE json_type({document}, {path}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
        f"ELSE CAST(json_extract({document}, {path}) AS TEXT) END"
    )


@compiles(json_text, "postgresql")
def _postgresql(element: Any, compiler: Any, **options: Any) -> str:
    document, field = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(CAST({document} AS JSON) ->> {field})"
