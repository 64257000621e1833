"""What SQL that a user writes may reach: the project's nodes, and no file, address, setting or variable.

The engine's connections are sealed against files as well. This check comes first, with an error that says what to do
instead.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from sqlglot import expressions as exp

from mainstem.errors import MainstemError

E = TypeVar("E", bound=MainstemError)

HINT = 'declare a source, such as NAME = ms.files("data/*.csv"), and read FROM NAME'

_TABLES = {"generate_series", "generate_subscripts", "json_each", "json_tree", "range", "unnest"}
"""Functions in FROM that make rows from their arguments."""

_OUTSIDE = re.compile(
    r"read_.*|.*_scan(_.*)?|sniff_.*|parquet_.*|duckdb_.*|pragma_.*|st_read.*|getenv|getvariable|current_setting|glob|"
    r"query|query_table|which_secret|from_substrait.*|load_.*|(sqlite|postgres|mysql|iceberg|delta|ducklake|http)_.*"
)
"""Functions that read files, databases, addresses, settings or variables, or that run a text as SQL."""

_FILE = re.compile(
    r"[/\\\\]|://|\.(csv|tsv|txt|json|jsonl|ndjson|parquet|arrow|xlsx?|db|duckdb|sqlite|gz|zst)$", re.IGNORECASE
)
"""A name in FROM that the engine takes for a file."""


def refuse_outside(tree: Any, error: type[E], where: str | None = None) -> None:
    """Raise `error` if a query reaches beyond the project's nodes."""
    for table in tree.find_all(exp.Table):
        if _FILE.search(table.name):
            raise _refused(error, "reads a file by its name", f"FROM {table.name!r}", where)
    for function in tree.find_all(exp.Func):
        if isinstance(function, (exp.Connector, exp.Predicate)):  # AND and OR are functions to the parser
            continue
        name = _name(function)
        makes_rows = isinstance(function.parent, (exp.Table, exp.Lateral, exp.From, exp.Join))
        if _OUTSIDE.fullmatch(name) or (makes_rows and name not in _TABLES):
            raise _refused(error, f"calls {name}()", function.sql(dialect="duckdb"), where)


def _name(function: exp.Func) -> str:
    name = function.name if isinstance(function, exp.Anonymous) else function.sql_name()
    return str(name).lower()


def _refused(error: type[E], does: str, got: str, where: str | None) -> E:
    expected = "the project's sources and tables, and functions of their columns"
    return error(f"the SQL {does}", where=where, got=got[:120], expected=expected, hint=HINT)
