"""Pairs of columns that two tables are joined on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis

from mainstem.errors import SchemaError, UnknownName
from mainstem.nodes.base import refused, several

Keys = str | Sequence[str] | Mapping[str, str]


def pairs(name: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Return the pairs of left and right columns that a user gives. Raises `DefinitionError`."""
    expected = f'{name}="customer_id", {name}=["day", "country"] or {name}={{"customer": "customer_id"}}'
    found = (value,) if isinstance(value, str) else several(value)
    if not found or isinstance(value, bytes):
        raise refused(f"`{name}` must name columns", value, expected)
    given = tuple(value.items()) if isinstance(value, Mapping) else tuple((each, each) for each in found)
    for pair in given:
        if not all(isinstance(each, str) and each.strip() for each in pair):
            raise refused(f"`{name}` must name columns", value, expected)
    if len(set(given)) != len(given):
        raise refused(f"`{name}` repeats a column", value, "each column once")
    return given


def check_keys(left: ibis.Table, right: ibis.Table, keys: Sequence[tuple[str, str]], where: str) -> None:
    """Refuse unknown columns, and pairs of unlike types. Raises `UnknownName` and `SchemaError`."""
    for mine, yours in keys:
        for table, column in ((left, mine), (right, yours)):
            if column not in table.columns:
                raise UnknownName.among("column", column, table.columns, where=where)
        try:
            left[mine] == right[yours]  # noqa: B015
        except (TypeError, ibis.common.exceptions.IbisTypeError):
            raise SchemaError(
                f"{mine!r} cannot be joined with {yours!r}",
                where=where,
                got=f"{left[mine].type()} and {right[yours].type()}",
                expected="columns of one type",
                hint="cast one of them before the join",
            ) from None
