"""The migrations of the state's tables, for Alembic. They are imported only if a database needs an upgrade."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from mainstem.errors import StorageError
from mainstem.state.schema import REVISION, revision

_LOCK = 0x6D61696E  # an arbitrary number; all versions of Mainstem must use the same one


def upgrade(engine: Engine) -> None:
    """Upgrade a database to the present revision. If several processes try, one of them does it.

    Raises `StorageError` if this version of Mainstem does not know the database's revision.
    """
    _refuse_newer(engine)
    with engine.connect() as connection:
        _alone(connection)
        command.upgrade(_config(connection), REVISION)
        connection.commit()


def _alone(connection: Connection) -> None:
    """Wait until no other process upgrades, and block other upgrades until the commit."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def _refuse_newer(engine: Engine) -> None:
    found = revision(engine)
    known = [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]
    if found is not None and found not in known:
        raise StorageError(
            "the state was written by a newer Mainstem",
            where=engine.url.render_as_string(hide_password=True),
            got=f"revision {found}",
            expected=f"at most revision {REVISION}",
            hint="pip install --upgrade mainstem",
        )


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
