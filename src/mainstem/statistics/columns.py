"""What a sample says of a column: distinct values, quantiles, frequent levels, and the shape of texts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from mainstem.nodes.statistics import QUANTILES, ColumnStatistics, Level, TextShape
from mainstem.statistics.exact import Counts, plain

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FREQUENT = 10
"""The most frequent levels that are kept of a column."""
LEVELS = 50
"""A column with no more levels than these keeps all of them."""
LONGEST = 100
"""The characters of a text up to which it is kept as a level."""

NUMBER = r"^\s*[-+]?(\d+|\d{1,3}([., ']\d{3})+)([.,]\d+)?\s*%?\s*$"
DATE = (
    r"^\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2}))"
    r"([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|[-+]\d{2}:?\d{2}|AM|PM|am|pm)?)?\s*$"
)
PADDED = r"^\s|\s$"


def column_statistics(type: str, counts: Counts, sample: pa.ChunkedArray | None) -> ColumnStatistics:
    """Return the statistics of a column from its exact counts and a sample of its values, if it has one."""
    import pyarrow as pa

    exact: dict[str, Any] = {
        "type": type,
        "nulls": counts.nulls,
        "nans": counts.nans,
        "low": plain(counts.low),
        "high": plain(counts.high),
    }
    if sample is None:
        return ColumnStatistics(**exact)
    values = present(sample)
    levels, rows = counted(values)
    frequent, complete = _frequent(levels, rows)
    return ColumnStatistics(
        **exact,
        sampled=len(values),
        distinct=len(rows),
        **_of_numbers(values),
        frequent=frequent,
        complete=complete,
        text=text_shape(levels, rows) if pa.types.is_string(values.type) else None,
    )


def present(values: pa.ChunkedArray) -> pa.Array:
    """Return the values other than null and NaN as one array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    whole = whole.drop_null() if whole.null_count else whole
    return whole.filter(pc.invert(pc.is_nan(whole))) if pa.types.is_floating(whole.type) else whole


def counted(values: pa.Array) -> tuple[pa.Array, np.ndarray[Any, Any]]:
    """Return the distinct values and the number of each."""
    found = values.value_counts()
    return found.field(0), found.field(1).to_numpy()


def numbers(values: pa.Array) -> np.ndarray[Any, Any] | None:
    """Return values as numbers that can be ordered: instants in microseconds, dates in days; None for texts."""
    import numpy as np
    import pyarrow as pa

    kind = values.type
    if pa.types.is_timestamp(kind):
        return np.asarray(values.cast(pa.timestamp("us", kind.tz)).cast("int64"))
    if pa.types.is_date(kind):
        return np.asarray(values.cast("date32").cast("int32"))
    if pa.types.is_decimal(kind):
        return np.asarray(values.cast("float64"))
    return np.asarray(values) if pa.types.is_integer(kind) or pa.types.is_floating(kind) else None


def restored(number: Any, kind: pa.DataType) -> Any:
    """Return a number of `numbers` as a plain value of its type."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        instant = datetime(1970, 1, 1, tzinfo=UTC if kind.tz else None) + timedelta(microseconds=int(number))
        return plain(instant)
    if pa.types.is_date(kind):
        return plain(date(1970, 1, 1) + timedelta(days=int(number)))
    return int(number) if pa.types.is_integer(kind) else float(number)


def text_shape(levels: pa.Array, rows: np.ndarray[Any, Any]) -> TextShape | None:
    """Return the shape of texts, given the distinct ones and the number of each."""
    import numpy as np
    import pyarrow.compute as pc

    total = int(rows.sum())
    if not total:
        return None
    lengths = np.asarray(pc.utf8_length(levels))

    def share(pattern: str) -> float:
        return float(rows[np.asarray(pc.match_substring_regex(levels, pattern))].sum() / total)

    return TextShape(
        int(lengths.min()),
        float((lengths * rows).sum() / total),
        int(lengths.max()),
        share(NUMBER),
        share(DATE),
        share(PADDED),
    )


def _of_numbers(values: pa.Array) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa

    found = numbers(values)
    if found is None or not len(found):
        return {}
    ordered = np.sort(found)
    # The smallest value that at least this share of the values does not exceed; np.quantile takes four times as long.
    quantiles = [ordered[max(ceil(share * len(ordered)) - 1, 0)] for share in QUANTILES]
    result: dict[str, Any] = {"quantiles": tuple(restored(each, values.type) for each in quantiles)}
    if not pa.types.is_temporal(values.type):
        result |= _moments(np.asarray(found, dtype="float64"))
    return result


def _moments(values: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return the mean and the deviation of the finite values, none if no value is finite."""
    import numpy as np

    finite = values[np.isfinite(values)]
    if not len(finite):
        return {}
    largest = float(np.abs(finite).max()) or 1.0
    finite = finite / largest  # squares of values beyond 1e154 have no place in a float
    return {"mean": float(np.mean(finite)) * largest, "deviation": float(np.std(finite)) * largest}


def _frequent(levels: pa.Array, rows: np.ndarray[Any, Any]) -> tuple[tuple[Level, ...], bool]:
    """Return the most frequent levels, and whether these are all. A level of one row is kept only among all."""
    import numpy as np

    few = len(rows) <= LEVELS
    order = np.argsort(-rows, kind="stable")[: LEVELS if few else FREQUENT]
    chosen = order if few else order[rows[order] > 1]
    found = zip(levels.take(chosen).to_pylist(), rows[chosen].tolist(), strict=True)
    kept = tuple(
        Level(plain(value), count) for value, count in found if not (isinstance(value, str) and len(value) > LONGEST)
    )
    return kept, few and len(kept) == len(rows)
