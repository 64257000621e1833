"""What the point-in-time queries join by."""

from __future__ import annotations

from typing import Any

import ibis


def joined(left: ibis.Table, right: ibis.Table, key: list[str], how: str = "left") -> ibis.Table:
    """Join on the columns `key`; `right` has each combination at most once, so no row is doubled.

    With `how="inner"` the rows of `left` are left out that `right` does not have the combination of.
    """
    new = [column for column in right.columns if column not in key]
    renamed = right.rename({f"_of_{column}": column for column in key})
    matched = left.join(renamed, [left[c] == renamed[f"_of_{c}"] for c in key], how=how)
    return matched.select(*left.columns, *new)


def byte(value: int) -> Any:
    """A small constant, to sort by."""
    return ibis.literal(value, type="int8")
