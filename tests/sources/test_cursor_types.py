"""The cursor of one read whose values become another type on the way."""

import pyarrow as pa

from mainstem.sources.cursors import Watermark


def test_a_cursor_that_turns_from_dates_to_instants_goes_on():
    mark = Watermark("at", None)
    days = pa.RecordBatch.from_pydict({"at": pa.array(["2024-01-01"]).cast(pa.date32())})
    instants = pa.RecordBatch.from_pydict({"at": pa.array(["2024-01-02T10:00:00Z"]).cast(pa.timestamp("us", "UTC"))})
    for batch in (days, instants):
        mark.fresh(batch)
    assert "2024-01-02" in str(mark.text())
