"""Write rows, and name the column that the engine cannot compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.errors import EngineError
from mainstem.ports import DataFile, Session, Target

if TYPE_CHECKING:
    import ibis


def write(session: Session, rows: ibis.Table, target: Target) -> tuple[DataFile, ...]:
    """Write the rows. An error of the engine names the column that it cannot compute."""
    try:
        return session.write(rows, target)
    except EngineError as problem:
        column = None if "memory" in problem.what else _failing(session, rows)
        if column is not None:
            problem.what = f"the engine cannot compute the column {column!r}"
        raise


def _failing(session: Session, rows: ibis.Table) -> str | None:
    """Return the first column that fails by itself, or None if the rows fail without any column."""
    try:
        session.fetch(rows.aggregate(rows=rows.count()))
    except EngineError:
        return None
    for column in rows.columns:
        try:
            session.fetch(rows.aggregate(largest=rows[column].max()))
        except EngineError:
            return str(column)
    return None
