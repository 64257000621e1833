"""Parameters of SQL: `$name` stands for a value of `[params]` in mainstem.toml.

SQLGlot finds the parameters, so that a `$` in a text or a comment is none, and writes each value as a literal of its
type. The rest of the text stays as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from math import isfinite
from pathlib import Path
from typing import Any

import sqlglot as sg
import sqlglot.expressions as sge
from sqlglot.errors import SqlglotError

from mainstem.engines.queries import DIALECT
from mainstem.errors import DefinitionError, SettingsError, UnknownName
from mainstem.nodes.base import Origin
from mainstem.settings import FILE


def bound(text: str, params: Mapping[str, Any], file: Path) -> str:
    """Return SQL with a literal in the place of each `$name`. Raises `DefinitionError` for unknown parameters."""
    parts, end = [], 0
    for start, stop, name in _parameters(text):
        where = str(_origin(text, start, file))
        if name not in params:
            raise _unknown(name, params, where)
        parts += [text[end:start], literal(params[name])]
        end = stop
    return "".join([*parts, text[end:]])


def literal(value: Any) -> str:
    """Return a value of `[params]` as SQL of its type: a decimal number is a DOUBLE, an instant a TIMESTAMPTZ."""
    return str(_literal(value).sql(DIALECT))


def check_params(params: Mapping[str, Any], where: str) -> None:
    """Refuse names and values that SQL has no literal for. Raises `SettingsError`."""
    for name, value in params.items():
        if not name.isidentifier():
            raise SettingsError(f"the parameter {name!r} is not a name", where=where, expected="letters, digits and _")
        if (problem := _problem(value)) is not None:
            raise SettingsError(f"the parameter {name!r} {problem}", where=where, got=repr(value), expected=_KINDS)


_KINDS = "a number, a text, true or false, a date, an instant with an offset, or a list of such values of one type"


def _problem(value: Any) -> str | None:
    if isinstance(value, list):
        if len({type(item) for item in value}) != 1:
            return "is a list without one type" if value else "is an empty list"
        return "is a list of lists" if isinstance(value[0], list) else next(filter(None, map(_problem, value)), None)
    if isinstance(value, datetime) and value.tzinfo is None:
        return "is an instant without an offset, which could mean any time zone"
    if isinstance(value, float) and not isfinite(value):
        return "is not a finite number"
    return None if isinstance(value, (str, bool, int, float, date, time)) else "has an unsupported type"


def _literal(value: Any) -> Any:
    if isinstance(value, list):
        return sge.Array(expressions=[_literal(item) for item in value])
    if isinstance(value, float):
        return sge.cast(sge.Literal.number(repr(value)), "double")
    converted = sge.convert(value.astimezone(UTC) if isinstance(value, datetime) else value)
    return sge.paren(converted) if isinstance(converted, sge.Neg) else converted


def _parameters(text: str) -> list[tuple[int, int, str]]:
    """Return start, end and name of each parameter of a text, in order."""
    if "$" not in text and "?" not in text:
        return []
    try:
        tokens = sg.Dialect.get_or_raise(DIALECT).tokenize(text)
    except SqlglotError:
        return []  # parsing reports it
    found = []
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type is sg.TokenType.PLACEHOLDER:
            found.append((token.start, token.end + 1, token.text))
        elif token.token_type is sg.TokenType.PARAMETER:
            named = following is not None and following.start == token.end + 1
            last = following if following is not None and named else token
            found.append((token.start, last.end + 1, last.text if named else ""))
    return found


def _origin(text: str, start: int, file: Path) -> Origin:
    number = text.count("\n", 0, start)
    return Origin(str(file), number + 1, text.split("\n")[number].strip())


def _unknown(name: str, params: Mapping[str, Any], where: str) -> DefinitionError:
    if not name.isidentifier():
        return DefinitionError(
            "a parameter has no name", where=where, got=f"${name}" if name.isdigit() else name, expected="$name"
        )
    problem = UnknownName.among("parameter", name, params, where=where)
    problem.hint = problem.hint or f"add {name} = … to [params] in {FILE}"
    return problem
