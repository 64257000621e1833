"""Look at sources without collecting them, and propose declarations for places that are not declared yet."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from mainstem.errors import MainstemError, SourceError, UnknownName
from mainstem.nodes.apis import Api, api
from mainstem.nodes.databases import database
from mainstem.nodes.files import files
from mainstem.nodes.sources import Source, Stream
from mainstem.project.branch import Branch
from mainstem.sources.guessing import guess, identifier, written
from mainstem.sources.inspection import introspect
from mainstem.sources.lock import read_lock
from mainstem.sources.looking import Look, look, read

ENVELOPES = ("items", "data", "results", "records", "rows", "value", "entries", "content", "hits")
"""The fields of an answer that are tried as the place of an API's rows, if the answer itself is no list."""


def look_at(branch: Branch, name: str, rows: int) -> Look:
    """Look at a source of the project. Raises `UnknownName`, and `SourceError` if it cannot be read."""
    node = branch.nodes.get(name)
    if not isinstance(node, Source) or isinstance(node, Stream):
        known = [n for n, each in branch.nodes.items() if isinstance(each, Source) and not isinstance(each, Stream)]
        raise UnknownName.among("source", name, known)
    root = branch.settings.root
    locked = read_lock(root / "schemas.lock").get(name, {})
    return look(name, node, root, branch.adapters.engine, locked, rows)


def infer(branch: Branch, place: str, table: str | None = None) -> str:
    """Return the declaration of a place as code: of files by a glob, a table by a URL, or an API by its address.

    Raises `SourceError`, and `DefinitionError` for a place that cannot be a source.
    """
    scheme = urlsplit(place).scheme
    if scheme in ("http", "https"):
        node: Source = _api(branch, place)
    elif re.match(r"(sqlite|duckdb|postgres(ql)?|mysql|mariadb)(\+\w+)?://", place):
        if table is None:
            raise SourceError("a database needs a table", where=place, expected="--table NAME")
        node = database(place, table=table)
    else:
        node = files(place)
    root, engine = branch.settings.root, branch.adapters.engine
    schema = introspect(node, root, engine)
    rows, _ = read(place, node, root, engine, schema)
    call, arguments = _call(node, place, table)
    by_cursor = call == "database"
    return written(identifier(table or place), call, arguments, guess(rows, schema), cursor=by_cursor)


def _call(node: Source, place: str, table: str | None) -> tuple[str, list[str]]:
    if isinstance(node, Api):
        more = [] if node.records == "$" else [f"records={_quoted(node.records)}"]
        return "api", [_quoted(place), *more, *([] if node.paging == "auto" else ['paging="none"'])]
    if table is not None and type(node).__name__ == "Database":
        return "database", [_quoted(place), f"table={_quoted(table)}"]
    return "files", [_quoted(place)]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _api(branch: Branch, url: str) -> Api:
    """Return the declaration of an API whose rows are at the first path that has a list of objects."""
    first: MainstemError | None = None
    for records in ("$", *ENVELOPES, *(f"data.{name}" for name in ENVELOPES)):
        node = api(url, records=records)
        try:
            found = introspect(node, branch.settings.root, branch.adapters.engine)
        except SourceError as error:
            first = first or error
            if not error.what.startswith(("the page has no", "a record is not")):
                raise
            continue
        if records != "$" or not set(ENVELOPES) & set(found):
            return node
    raise first or SourceError("no list of objects was found in the answer", where=url, hint='records="…"')
