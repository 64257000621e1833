"""The server's metrics, for Prometheus."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from mainstem.errors import MissingExtra
from mainstem.nodes.parity import ParityReport
from mainstem.serving.counters import Shared
from mainstem.serving.gauges import Collector, Sample

_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters and histograms in their own registry."""

    def __init__(self) -> None:
        self.shared: Shared | None = None
        """The counters of the other workers."""
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
        except ImportError:
            raise MissingExtra.named("serve", "prometheus-client") from None
        self.registry = CollectorRegistry()
        own = self.registry
        self._requests = Counter("mainstem_requests", "Requests answered.", ["path", "method", "status"], registry=own)
        self._seconds = Histogram(
            "mainstem_request_seconds", "Time to answer.", ["path"], buckets=_SECONDS, registry=own
        )
        self._predictions = Counter(
            "mainstem_predictions", "Rows predicted and logged.", ["endpoint", "version"], registry=own
        )
        self._unknown = Counter(
            "mainstem_unknown_entities",
            "Predicted rows with an entity that a view does not know.",
            ["endpoint"],
            registry=own,
        )
        self._decisions = Counter(
            "mainstem_decisions",
            "Decisions, by option. Those that could not be made are `none`.",
            ["endpoint", "version", "decision"],
            registry=own,
        )
        self._read = Counter("mainstem_feature_rows", "Rows read of feature views.", ["view"], registry=own)
        self._kept = Counter(
            "mainstem_latency_kept",
            "Requests to endpoints that declare a latency, by whether they were answered within it.",
            ["endpoint", "kept"],
            registry=own,
        )
        self._late = Counter(
            "mainstem_late_answers",
            "Rows that the declared answer was given to, because the latency passed.",
            ["endpoint"],
            registry=own,
        )
        self._events = Counter("mainstem_events", "Events acknowledged.", ["stream"], registry=own)
        self._outcomes = Counter("mainstem_outcomes", "Outcomes acknowledged.", ["endpoint"], registry=own)
        self._shadows = Counter(
            "mainstem_shadow_rows",
            "Answered rows for a shadow: scored, failed, or dropped because too many waited.",
            ["endpoint", "version", "result"],
            registry=own,
        )
        self._challengers = Gauge(
            "mainstem_challenger_up",
            "Whether the challenger can score, of endpoints that declare a shadow or a canary.",
            ["endpoint", "version"],
            registry=own,
        )
        self._canaries = Counter(
            "mainstem_canary_requests",
            "Requests of a canary: answered, failed (the champion answered), or slow (beyond the latency).",
            ["endpoint", "version", "result"],
            registry=own,
        )
        self._ended = Gauge(
            "mainstem_canary_ended", "Whether the canary of a version ended.", ["endpoint", "version"], registry=own
        )
        self._topics = TopicMetrics(own)
        self._release = Gauge("mainstem_release_loaded_timestamp_seconds", "When the release was loaded.", registry=own)
        # Finding a child by its labels takes longer than to count with it.
        self._of_route = cache(
            lambda path, method, status: (
                self._requests.labels(path, method, str(status)),
                self._seconds.labels(path),
            )
        )
        self._predicted = cache(self._predictions.labels)
        self._decided = cache(self._decisions.labels)
        self._failures = Counter("mainstem_release_failures", "Releases that could not be loaded.", registry=own)

        self._parity = Gauge(
            "mainstem_parity_reads",
            "Logged reads in the newest comparison with the lake, by result.",
            ["endpoint", "feature", "result"],
            registry=own,
        )
        self._compared = Gauge(
            "mainstem_parity_timestamp_seconds", "When reads were last compared.", ["endpoint"], registry=own
        )
        self._judged = Collector()
        own.register(self._judged)
        ProcessCollector(registry=own)  # memory, CPU time, open files, from /proc

    def judged(self, samples: Iterable[Sample]) -> None:
        """Show what monitors found, instead of what was shown before."""
        self._judged.take(samples)

    def compared(self, reports: Iterable[ParityReport]) -> None:
        for report in reports:
            self._compared.labels(report.endpoint).set(report.at.timestamp())
            for feature in report.features:
                for result in ("equal", "different", "missing", "extra"):
                    self._parity.labels(report.endpoint, feature.name, result).set(getattr(feature, result))

    def answered(self, path: str, method: str, status: int, seconds: float) -> None:
        requests, taken = self._of_route(path, known_method(method), status)
        requests.inc()
        taken.observe(seconds)

    def predicted(self, endpoint: str, version: str, rows: int, unknown: int) -> None:
        self._predicted(endpoint, version).inc(rows)
        if unknown:
            self._unknown.labels(endpoint).inc(unknown)

    def decided(self, endpoint: str, version: str, decisions: Iterable[bool | str | None]) -> None:
        for decision, count in Counted(map(_told, decisions)).items():
            self._decided(endpoint, version, decision).inc(count)

    def read(self, view: str, rows: int) -> None:
        self._read.labels(view).inc(rows)

    def timed(self, endpoint: str, seconds: float, budget: float) -> None:
        self._kept.labels(endpoint, "yes" if seconds <= budget else "no").inc()

    def late(self, endpoint: str, rows: int) -> None:
        if rows:
            self._late.labels(endpoint).inc(rows)

    def shadowed(self, endpoint: str, version: str, result: str, rows: int) -> None:
        self._shadows.labels(endpoint, version, result).inc(rows)

    def challenging(self, up: Mapping[tuple[str, str], bool]) -> None:
        """Show by endpoint and version whether a challenger can score, instead of what was shown before."""
        self._challengers.clear()
        for (endpoint, version), can in up.items():
            self._challengers.labels(endpoint, version).set(can)

    def canary(self, endpoint: str, version: str, result: str) -> None:
        self._canaries.labels(endpoint, version, result).inc()

    def canaries(self, ended: Mapping[tuple[str, str], bool]) -> None:
        """Show by endpoint and version whether a canary ended, instead of what was shown before."""
        self._ended.clear()
        for (endpoint, version), has in ended.items():
            self._ended.labels(endpoint, version).set(has)

    def told(self, endpoint: str, rows: int) -> None:
        self._outcomes.labels(endpoint).inc(rows)

    def ingested(self, stream: str, rows: int) -> None:
        self._events.labels(stream).inc(rows)

    def topic_up(self, stream: str, up: bool) -> None:
        self._topics.up.labels(stream).set(up)

    def topic_lag(self, stream: str, topic: str, partition: int, lag: int) -> None:
        self._topics.lag.labels(stream, topic, str(partition)).set(lag)

    def topic_left(self, stream: str, topic: str, partition: int) -> None:
        """Forget the lag of a partition that another server reads now."""
        with suppress(KeyError):
            self._topics.lag.remove(stream, topic, str(partition))

    def topic_taken(self, stream: str, events: int, unreadable: int, skipped: int) -> None:
        self._events.labels(stream).inc(events)
        for result, count in (("event", events), ("unreadable", unreadable), ("skipped", skipped)):
            self._topics.messages.labels(stream, result).inc(count)

    def loaded(self, at: float) -> None:
        self._release.set(at)

    def failed(self) -> None:
        self._failures.inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format, of all workers if there are several."""
        own = self._text()
        return own if self.shared is None else self.shared.together(own.decode()).encode()

    def share(self) -> None:
        """Show the metrics to the other workers, if there are several."""
        if self.shared is not None:
            self.shared.save(self._text().decode())

    def _text(self) -> bytes:
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


class TopicMetrics:
    """The metrics of topics that feed streams."""

    def __init__(self, registry: Any) -> None:
        from prometheus_client import Counter, Gauge

        self.up = Gauge(
            "mainstem_topic_up", "Whether the topic of a stream can be read.", ["stream"], registry=registry
        )
        self.lag = Gauge(
            "mainstem_topic_lag",
            "Messages of a topic that are not taken yet.",
            ["stream", "topic", "partition"],
            registry=registry,
        )
        self.messages = Counter(
            "mainstem_topic_messages", "Messages taken from topics, by result.", ["stream", "result"], registry=registry
        )


def _told(decision: bool | str | None) -> str:
    if isinstance(decision, bool):
        return "true" if decision else "false"
    return "none" if decision is None else decision


def known_method(method: str) -> str:
    """Return a method's name in metrics and logs: `other` for an unknown method."""
    return method if method in _METHODS else "other"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
