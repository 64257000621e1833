"""Queries as Spark SQL. A relation may have any name: each is a temporary view with a plain name of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.queries import DIALECT, read_by
from mainstem.errors import EngineError, close_matches

TARGET = "spark"


def translated(text: str, views: Mapping[str, str]) -> str:
    """Return a SELECT in DuckDB's dialect as Spark SQL over `views`, which maps names of relations to views."""
    return str(over(sg.parse_one(text.strip().rstrip(";"), read=DIALECT), views).sql(dialect=TARGET))


def over(tree: Any, views: Mapping[str, str]) -> Any:
    """Return a query with each relation in the place of its name. Raises `EngineError` for an unknown one."""
    for table in read_by(tree):
        if not isinstance(table.this, sge.Identifier):
            continue  # a function such as range(3)
        name = ".".join(part.name for part in table.parts)
        if (view := views.get(name) or _alike(name, views)) is None:
            if name.startswith("_"):
                continue
            raise EngineError(
                f"the query reads {name}, which does not exist",
                where=name,
                expected=f"one of {', '.join(sorted(views))}" if views else "no relation",
                hint=close_matches(name, views),
            )
        alias = table.alias or table.name
        for part in ("db", "catalog"):
            table.set(part, None)
        table.set("this", sg.to_identifier(view))
        if table.args.get("alias") is None:
            table.set("alias", sge.TableAlias(this=sg.to_identifier(alias, quoted=True)))
    return tree


def _alike(name: str, views: Mapping[str, str]) -> str | None:
    """Return the view of a name in another case. Names of relations that differ in case only are refused."""
    return next((view for each, view in views.items() if each.lower() == name.lower()), None)
