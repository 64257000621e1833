"""The schemas of sources: looked up once, then kept in `schemas.lock`, which is committed with the project."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from mainstem.errors import DefinitionError, SettingsError, SourceError
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.sources import Api, Database, Files, Source, Web
from mainstem.ports import Engine, RawFiles, Session

HEADER = """\
# The columns of every source and their types, as they were when each was first seen.
# Part of the project: commit it. A line may be corrected; a source left out is looked at again.
"""

Schemas = Mapping[str, Mapping[str, str]]


# ── the lock ──────────────────────────────────────────────────────────────────────────────────────────


def read_lock(path: Path) -> dict[str, dict[str, str]]:
    """Columns and Ibis types by source; nothing if there is no file. Raises `SettingsError`."""
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("schemas.lock is not valid TOML", where=str(path), got=str(error)) from error
    for name, columns in content.items():
        for column, type in columns.items() if isinstance(columns, dict) else [(name, columns)]:
            _check_type(type, f"{path.name}: [{name}] {column}")
    return content


def write_lock(path: Path, schemas: Schemas) -> None:
    """Write sources in alphabetical order and columns in their own, replacing the file at once."""
    sections = [_section(name, schemas[name]) for name in sorted(schemas)]
    draft = path.with_name(f"{path.name}.part")
    draft.write_text("\n".join([HEADER, *sections]))
    draft.replace(path)


def _section(name: str, columns: Mapping[str, str]) -> str:
    lines = [f"{_key(column)} = {json.dumps(type, ensure_ascii=False)}" for column, type in columns.items()]
    return "\n".join([f"[{_key(name)}]", *lines, ""])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _check_type(type: Any, where: str) -> None:
    try:
        ibis.dtype(type)
    except Exception as error:
        raise SettingsError(f"{type!r} is not a type", where=where, expected=f"such as int64 or {INSTANT}") from error


# ── introspection ─────────────────────────────────────────────────────────────────────────────────────


def introspect(source: Source, root: Path, engine: Engine) -> dict[str, str]:
    """Columns and Ibis types of a source, by looking at it; what it declares itself wins. Raises `SourceError`."""
    declared = dict(source.schema or {})
    match source:
        case Files():
            found = _files(source, root, engine)
        case Database():
            found = _database(source, root)
        case Api():
            found = _api(source)
        case Web():
            found = dict.fromkeys(source.fields, "string")
        case _:
            found = declared
    if not found:
        raise DefinitionError("the source has no columns", expected="at least one", hint="schema={…}")
    return {**found, **declared}


def _files(source: Files, root: Path, engine: Engine) -> dict[str, str]:
    from mainstem.sources.listing import listing, no_file

    paths = tuple(str(root / path) for path in listing(root, source.path))
    if not paths:
        raise no_file(source.path, root)
    if source.format != "csv":
        with engine.session({"files": RawFiles(paths, source.format, None, source.options)}) as session:
            return {name: _kept(type) for name, type in session.schema("SELECT * FROM files").items()}
    # Every column of every file, as text: a column that is blank in one file has its type from another.
    options = {"delim": ",", "quote": '"', "escape": '"', **source.options, "all_varchar": True, "union_by_name": True}
    with engine.session({"files": RawFiles(paths, "csv", None, options)}) as session:
        return _types_of_text(session, source)


def _types_of_text(session: Session, source: Files) -> dict[str, str]:
    """The narrowest type that all texts of a column have; codes such as `007` and digits beyond int64 stay text."""
    names = list(session.schema("SELECT * FROM files"))
    if len(names) == 1 and re.search(r"[;\t|]", names[0]):
        raise SourceError(
            "the CSV files have one column only",
            got=names[0],
            hint="another delimiter? options={'delim': ';'}",
        )
    table = ibis.table(dict.fromkeys(names, "string"), name="files")
    first = _narrowed(session, table.limit(SAMPLE), dict.fromkeys(names, tuple(_FITS)))
    # Most columns are what their first rows look like; then one test of each over all rows is enough.
    kinds = _narrowed(session, table, {name: kinds if len(kinds) > 2 else kinds[:1] for name, kinds in first.items()})
    lost = {name: first[name] for name in names if first[name] and not kinds[name]}
    kinds |= _narrowed(session, table, lost) if lost else {}
    return {name: kinds[name][0] if 0 < len(kinds[name]) < len(_FITS) else "string" for name in names}


def _narrowed(session: Session, table: ibis.Table, kinds: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Those of the `kinds` of each column that all its texts fit: every one where there are no texts."""
    tests = {
        f"{kind} {number}": table[name].count(where=table[name].notnull() & ~_FITS[kind](table[name]))
        for number, name in enumerate(kinds)
        for kind in kinds[name]
    }
    misfits = session.fetch(table.aggregate(**tests)).to_pylist()[0] if tests else {}
    return {
        name: tuple(kind for kind in kinds[name] if not misfits[f"{kind} {number}"])
        for number, name in enumerate(kinds)
    }


def _float(text: Any) -> Any:
    """Numbers that lose nothing as float64, which codes such as `007.5` and long digits would."""
    code = text.startswith("0") & (text.length() > 1) & ~text.startswith("0.")
    return text.try_cast("float64").notnull() & ~code & ((text.length() < 19) | text.contains("."))


_FITS: dict[str, Callable[[Any], Any]] = {
    "boolean": lambda text: text.lower().isin(["true", "false"]),
    "int64": lambda text: (text.try_cast("int64").cast("string") == text).fill_null(False),
    "float64": _float,
    "date": lambda text: (text.length() == 10) & text.try_cast("date").notnull(),
    INSTANT: lambda text: (text.length() >= 16) & text.try_cast(INSTANT).notnull(),
}
"""The types that are looked for, narrowest first, and which texts have them."""

SAMPLE = 10_000
"""Rows that are looked at before all are."""


def _database(source: Database, root: Path) -> dict[str, str]:
    from mainstem.sources.extract.database import columns

    return {name: _kept(type) for name, type in columns(source, root).items()}


def _api(source: Api) -> dict[str, str]:
    from mainstem.sources.http import get_json, with_params
    from mainstem.sources.records import records_at
    from mainstem.sources.secrets import expand, expand_all, redact

    url = with_params(expand(source.url), expand_all(source.params))
    page = get_json(url, expand_all(source.headers), template=source.url)
    rows = records_at(page, source.records, redact(source.url))
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: type_of([row.get(name) for row in rows]) for name in names}


def type_of(values: Sequence[Any]) -> str:
    """The Ibis type of JSON values: texts that are all ISO 8601 are instants or dates; objects stay JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        return "int64" if kinds == {int} else "float64"
    if kinds == {bool}:
        return "boolean"
    if kinds == {str}:
        texts = [value for value in values if value is not None]
        if all(_is_date(text) for text in texts):
            return "date"
        return INSTANT if all(_is_instant(text) for text in texts) else "string"
    return "string"


def _is_date(text: str) -> bool:
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and _parses(date, text)


def _is_instant(text: str) -> bool:
    return bool(re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", text)) and _parses(datetime, text)


def _parses(kind: type[date], text: str) -> bool:
    try:
        kind.fromisoformat(text)
    except ValueError:
        return False
    return True


def _kept(type: dt.DataType) -> str:
    """The type a column is kept in: every instant in UTC and microseconds; what has no type yet is text."""
    if type.is_timestamp():
        return INSTANT
    if type.is_null() or type.is_json():
        return "string"
    return "int64" if type.is_integer() else "float64" if type.is_floating() else str(type.copy(nullable=True))
