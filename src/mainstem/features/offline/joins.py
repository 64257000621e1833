"""Joins of the point-in-time queries."""

from __future__ import annotations

from typing import Any

import ibis


def joined(left: ibis.Table, right: ibis.Table, key: list[str], how: str = "left") -> ibis.Table:
    """Join on the columns `key`. `right` has each combination at most once, so no row is duplicated.

    With `how="inner"`, rows of `left` without a match in `right` are left out.
    """
    new = [column for column in right.columns if column not in key]
    renamed = right.rename({f"_of_{column}": column for column in key})
    matched = left.join(renamed, [left[c] == renamed[f"_of_{c}"] for c in key], how=how)
    return matched.select(*left.columns, *new)


def byte(value: int) -> Any:
    """Return a small constant for sorting."""
    return ibis.literal(value, type="int8")
