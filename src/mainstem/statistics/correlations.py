"""What columns have in common: Pearson and Spearman of numbers, Cramér's V of categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from mainstem.nodes.descriptions import Correlation

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ROWS = 20_000
"""The most rows that are compared."""
COLUMNS = 40
"""The most columns of each type that are compared."""
LEVELS = 30
LEAST = 0.3
"""Weaker correlations are left out."""
TOP = 12
ENOUGH = 30
"""The rows with both values that a correlation needs."""


def correlations(rows: pa.Table) -> tuple[Correlation, ...]:
    """Return the strongest correlations of the first `COLUMNS` numbers and categories, the strongest first."""
    rows = rows.slice(0, ROWS)
    found = [*_of_numbers(_numbers(rows)), *_of_categories(_categories(rows))]
    strong = [each for each in found if abs(each.value) >= LEAST]
    return tuple(sorted(strong, key=lambda each: (-abs(each.value), each.columns))[:TOP])


def cramers_v(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float | None:
    """Return Cramér's V of two arrays of codes, corrected for bias (Bergsma, 2013); None for a constant one."""
    import numpy as np

    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n, (height, width) = table.sum(), table.shape
    if min(height, width) < 2:
        return None
    wanted = table.sum(axis=1, keepdims=True) @ table.sum(axis=0, keepdims=True) / n
    phi = max(0.0, float(((table - wanted) ** 2 / wanted).sum() / n) - (height - 1) * (width - 1) / (n - 1))
    rows, columns = height - (height - 1) ** 2 / (n - 1), width - (width - 1) ** 2 / (n - 1)
    least = min(rows, columns) - 1
    return float(np.sqrt(phi / least)) if least > 0 else None


def ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the ranks of values; equal ones share the mean of theirs."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: np.ndarray[Any, Any] = (last - (counts - 1) / 2)[place]
    return means


def _of_numbers(columns: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Correlation]:
    import numpy as np

    for a, b in combinations(columns, 2):
        both = np.isfinite(columns[a]) & np.isfinite(columns[b])
        if both.sum() < ENOUGH:
            continue
        one, other = (values[both] / (np.abs(values[both]).max() or 1.0) for values in (columns[a], columns[b]))
        if not (np.ptp(one) and np.ptp(other)):
            continue
        pearson = float(np.corrcoef(one, other)[0, 1])
        spearman = float(np.corrcoef(ranks(one), ranks(other))[0, 1])
        if abs(spearman) > abs(pearson) + 0.1:
            yield Correlation((a, b), "Spearman", spearman)
        else:
            yield Correlation((a, b), "Pearson", pearson)


def _of_categories(columns: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Correlation]:
    for a, b in combinations(columns, 2):
        both = (columns[a] >= 0) & (columns[b] >= 0)
        if both.sum() >= ENOUGH:
            value = cramers_v(columns[a][both], columns[b][both])
            if value is not None:
                yield Correlation((a, b), "Cramér's V", value)


def _numbers(rows: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Return the numeric columns as floats, null as NaN."""
    import numpy as np
    import pyarrow as pa

    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    names = [field.name for field in rows.schema if any(kind(field.type) for kind in kinds)]
    return {name: np.asarray(rows[name].cast("float64", safe=False).to_numpy()) for name in names[:COLUMNS]}


def _categories(rows: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Return texts and booleans of few levels as codes, null as −1."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[str, np.ndarray[Any, Any]] = {}
    for field in rows.schema:
        if not (pa.types.is_string(field.type) or pa.types.is_boolean(field.type)):
            continue
        codes = rows[field.name].cast("string").combine_chunks().dictionary_encode()
        if 2 <= len(codes.dictionary) <= LEVELS and len(found) < COLUMNS:
            found[field.name] = np.asarray(pc.fill_null(codes.indices, -1))
    return found
