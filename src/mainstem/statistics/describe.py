"""Describe rows: every column, duplicates, and what columns have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mainstem.nodes.descriptions import ColumnDescription, Histogram
from mainstem.statistics.columns import column_statistics, counted, numbers, present, restored
from mainstem.statistics.exact import Counts, counts_in
from mainstem.statistics.variants import variants

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

BINS = 24
WHOLE = 40
"""Whole numbers of a smaller range have a bin each."""
FAR = 3.0
"""A histogram ends where values are this many distances of the quartiles away from these."""
OUTSIDE = 1.5
EXACT = 2**52
"""Smaller whole numbers are exact as floats, and half way between them, too."""


def column(name: str, type: str, values: pa.ChunkedArray, counts: Counts | None) -> ColumnDescription:
    """Return the description of a column. `counts` are exact counts of all rows; None if `values` are all rows."""
    import numpy as np
    import pyarrow as pa

    counts = counts or counts_in(values, type)
    if pa.types.is_nested(values.type) or pa.types.is_fixed_size_binary(values.type) or _is_binary(values.type):
        return ColumnDescription(name, column_statistics(type, counts, None))
    statistics = column_statistics(type, counts, values)
    there = present(values)
    found = numbers(there)
    if found is not None and len(found):
        with np.errstate(over="ignore", invalid="ignore"):  # a distance between extreme values is infinite
            return ColumnDescription(name, statistics, _histogram(found, there.type), _outliers(found))
    if pa.types.is_string(there.type):
        return ColumnDescription(name, statistics, variants=variants(*counted(there)))
    return ColumnDescription(name, statistics)


def row_duplicates(rows: pa.Table) -> int | None:
    """Return the number of rows beyond the first that agree in every column; None if a column cannot be compared."""
    import pyarrow as pa

    if not rows.num_columns or any(pa.types.is_nested(field.type) for field in rows.schema):
        return None
    numbered = rows.rename_columns([str(number) for number in range(rows.num_columns)])
    return int(rows.num_rows - numbered.group_by(numbered.column_names).aggregate([]).num_rows)


def _histogram(values: np.ndarray[Any, Any], kind: pa.DataType) -> Histogram:
    import numpy as np
    import pyarrow as pa

    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not len(finite):
        return Histogram(None, None, (), 0, len(values))
    low, high = _ends(finite)
    if low == high:
        edges = np.array([float(low) - 0.5, float(low) + 0.5])
    elif (
        pa.types.is_integer(kind) and max(abs(int(low)), abs(int(high))) < EXACT
    ):  # bins of equally many whole numbers, or they would draw stripes
        width = 1 if high - low < WHOLE else -(-(int(high) - int(low) + 1) // BINS)
        edges = np.arange(int(low), int(high) + width + 1, width) - 0.5
    else:
        share = np.linspace(0, 1, BINS + 1)
        edges = float(low) * (1 - share) + float(high) * share
    counts, _ = np.histogram(finite.astype("float64"), edges)
    below, above = int((values < low).sum()), int((values > high).sum())
    return Histogram(restored(low, kind), restored(high, kind), tuple(map(int, counts)), below, above)


def _ends(values: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return the smallest and the largest value that are not far out."""
    import numpy as np

    first, third = np.quantile(values, (0.25, 0.75))
    far = FAR * (third - first)
    inside = values[(values >= first - far) & (values <= third + far)] if far else values
    return inside.min(), inside.max()


def _outliers(values: np.ndarray[Any, Any]) -> int:
    import numpy as np

    first, third = np.quantile(values, (0.25, 0.75))
    reach = OUTSIDE * (third - first)
    return int(((values < first - reach) | (values > third + reach)).sum())


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
