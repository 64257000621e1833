"""What the point-in-time queries join by."""

from __future__ import annotations

from typing import Any

import ibis


def joined(left: ibis.Table, right: ibis.Table, key: list[str]) -> ibis.Table:
    """Left join on the columns `key`; `right` has each combination at most once, so no row is doubled."""
    new = [column for column in right.columns if column not in key]
    renamed = right.rename({f"_of_{column}": column for column in key})
    matched = left.left_join(renamed, [left[c] == renamed[f"_of_{c}"] for c in key])
    return matched.select(*left.columns, *new)


def byte(value: int) -> Any:
    """A small constant, to sort by."""
    return ibis.literal(value, type="int8")
