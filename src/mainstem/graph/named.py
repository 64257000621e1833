"""Columns with names that a user chose. As keywords of a method of Ibis, `self`, `by` or `having` are its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def named(values: Mapping[str, Any]) -> list[Any]:
    """Return expressions under their names. A text is the name of a column, another plain value a literal."""
    return [_expression(value).name(name) for name, value in values.items()]


def _expression(value: Any) -> Any:
    import ibis
    from ibis.common.deferred import Deferred

    if isinstance(value, str):
        return ibis._[value]
    return value if isinstance(value, (ibis.Value, Deferred)) else ibis.literal(value)
