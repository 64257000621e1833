"""How many entries of the online store's logs the lake does not have yet, as samples of gauges."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.logs.records import events_of, predictions_of
from mainstem.ports import Store
from mainstem.serving.gauges import Sample
from mainstem.serving.live import Live


def lags(live: Live, store: Store) -> Iterator[Sample]:
    """Yield the lag of each stream's events and each endpoint's predictions, for the next run to bring to the lake."""
    tables = {events_of(name): name for name in live.ingests}
    tables |= {predictions_of(name): f"predictions.{name}" for name in live.predictors}
    for log, table in tables.items():
        snapshot = live.release.tables.get(table)
        drained = int(snapshot.cursor or 0) if snapshot is not None else 0
        yield Sample("mainstem_log_lag", (log,), max(0, store.end(log) - drained))
