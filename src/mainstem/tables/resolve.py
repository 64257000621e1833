"""Resolve a user's table function to an unbound Ibis expression. An error quotes the user's line."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import ibis

from mainstem.checks.violations import validate
from mainstem.errors import DefinitionError, MainstemError, SchemaError, UnknownName, close_matches
from mainstem.nodes.hidden import is_hidden
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.places import place
from mainstem.nodes.tables import Table

_CAST = f'_.{{}}.cast("{INSTANT}")'


def resolve_table(node: Table, name: str, inputs: Mapping[str, ibis.Table]) -> ibis.Table:
    """Call the function with one unbound table per parameter, and check the types of the result.

    The columns of a table with `clean=` are checked after cleaning instead. Raises `UnknownName` for an unknown
    column; `SchemaError` for a type error (such as a join on different types), a
    naive timestamp, or a result that is not a table; `DefinitionError` for an exception of the user's function.
    """
    where = f"{name} ({node.origin})"
    given = {parameter: inputs[parameter] for parameter in node.parameters}
    try:
        result = node(**given)
        if isinstance(result, ibis.Table):
            result.schema()  # Ibis finishes a join, and checks its names, only on access
    except MainstemError as error:
        raise error.at(_line(error, node) or where) from None
    except (Exception, SystemExit) as error:
        raise _explained(error, given, _line(error, node) or where) from error
    if not isinstance(result, ibis.Table):
        got = "None; the return statement may be missing" if result is None else f"{type(result).__name__}"
        raise SchemaError("the function does not return a table", where=where, got=got, expected="an Ibis table")
    if not node.clean:
        check_columns(result.schema().items(), where)
        validate(result, node.checks, where)
    return result


def check_columns(columns: Iterable[tuple[str, Any]], where: str | None, cast: str = _CAST) -> None:
    """Refuse naive timestamps and hidden names. `cast` is the form of a cast in hints. Raises `SchemaError`."""
    for column, type in columns:
        if type.is_timestamp() and type.timezone is None:
            raise SchemaError(
                f"{column!r} is a naive timestamp, which could mean any time zone",
                where=where,
                got=str(type),
                expected=INSTANT,
                hint=f"{cast.format(column)} reads it as UTC",
            )
        if is_hidden(column):
            raise SchemaError(f"{column!r} is a reserved name", where=where, hint="rename it; Mainstem uses this name")


def _line(error: BaseException, node: Table) -> str | None:
    """Return the deepest line of the user's file in the traceback of an error."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == node.origin.file]
    return f"{place(frames[-1].filename)}:{frames[-1].lineno}  {frames[-1].line}" if frames else None


_MISSING = (
    re.compile(r"'(?:Table|Join)' object has no attribute '(?P<name>\w+)'"),
    re.compile(r"Column '(?P<name>.+?)' is not found in table"),
    re.compile(r"'(?P<name>.+?)' is not a field in"),
)


def _explained(error: BaseException, inputs: Mapping[str, ibis.Table], where: str) -> DefinitionError:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    for pattern in _MISSING:
        if match := pattern.search(text):
            columns = {column for table in inputs.values() for column in table.columns}
            return UnknownName.among("column", match["name"], columns, where=where)
    if "collisions" in text:
        return SchemaError(
            "two columns of a join have the same name",
            where=where,
            got=_last(text),
            hint='rname="{name}_right", or .select(…)',
        )
    if method := re.search(r"'(\w+)' object has no attribute '(\w+)'", text):
        known = dir(getattr(ibis.expr.types, method[1], object))
        return SchemaError(
            f"{method[2]!r} is not a method of a {method[1]}", where=where, hint=close_matches(method[2], known)
        )
    if type(error).__module__.startswith("ibis") or "'function' object" in text or "'method'" in text:
        hint = '_["name"] reads a column that has the name of a method' if "'method'" in text else None
        return SchemaError("the expression does not fit its inputs", where=where, got=_last(text), hint=hint)
    return DefinitionError("the function failed", where=where, got=f"{type(error).__name__}: {text}")


def _last(text: str) -> str:
    """Return the last line of Ibis' message, which has the reason. Whole expressions come before it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
