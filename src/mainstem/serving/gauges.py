"""Gauges of what monitors found, for Prometheus: computed at each scrape, so that one whose endpoint is gone ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MONITOR = ("endpoint", "version", "monitor", "metric")
_INPUT = ("endpoint", "version", "input")
_ENDPOINT = ("endpoint", "version")

GAUGES: Mapping[str, tuple[str, Sequence[str]]] = {
    "mainstem_monitor_failing": ("Whether the newest judgement of a monitor is failing.", _MONITOR),
    "mainstem_monitor_timestamp_seconds": ("When a monitor judged last.", _MONITOR),
    "mainstem_monitor_rows": ("Predictions of the newest judgement.", _MONITOR),
    "mainstem_monitor_outcomes": ("Predictions of the newest judgement with an outcome.", _MONITOR),
    "mainstem_monitor_value": ("The metric of the newest judgement.", _MONITOR),
    "mainstem_monitor_low": ("The lower end of its 95 % interval.", _MONITOR),
    "mainstem_monitor_high": ("The upper end of its 95 % interval.", _MONITOR),
    "mainstem_monitor_floor": ("The bound that the monitor compares with.", _MONITOR),
    "mainstem_input_drifted": ("Whether an input drifted, in the newest judgement.", _INPUT),
    "mainstem_input_drift_effect": ("How far an input is from training: the population stability index.", _INPUT),
    "mainstem_input_null_share": ("The share of nulls of an input, in the newest judgement.", _INPUT),
    "mainstem_days_not_mature": ("Days of predictions of which too few outcomes are known.", _ENDPOINT),
    "mainstem_mature_day_timestamp_seconds": ("The start of the last day of which enough are known.", _ENDPOINT),
    "mainstem_run_timestamp_seconds": ("When the last run of the branch with this status ended.", ("status",)),
    "mainstem_table_timestamp_seconds": ("When the rows of a node in the live release were made.", ("node",)),
    "mainstem_log_lag": ("Entries of a log of events or predictions that are not in the lake yet.", ("log",)),
}
"""The help and the labels of each gauge, by name."""


@dataclass(frozen=True)
class Sample:
    """One value of a gauge in `GAUGES`, with its labels in that order."""

    name: str
    labels: tuple[str, ...]
    value: float


class Collector:
    """Gives Prometheus the samples of the last `take`."""

    def __init__(self) -> None:
        self._samples: Sequence[Sample] = ()

    def take(self, samples: Iterable[Sample]) -> None:
        self._samples = tuple(samples)

    def collect(self) -> Iterator[Any]:
        """Return the gauges that have samples, as `prometheus_client` asks for them."""
        from prometheus_client.core import GaugeMetricFamily

        for name, (told, labels) in GAUGES.items():
            found = [each for each in self._samples if each.name == name]
            if found:
                family = GaugeMetricFamily(name, told, labels=labels)
                for each in found:
                    family.add_metric(each.labels, each.value)
                yield family
