"""A release that is ready to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mainstem.errors import MainstemError, NotFound, Unavailable, close_matches
from mainstem.nodes.records import Release
from mainstem.serving.challengers import Beside
from mainstem.serving.features import FeatureReader
from mainstem.serving.predictor import Predictor
from mainstem.streaming.ingest import Ingest
from mainstem.streaming.outcomes import Outcomes


class NoChampion(Unavailable):
    """An endpoint to which no version was promoted yet."""

    @property
    def kind(self) -> str:
        return Unavailable.__name__


@dataclass(frozen=True, eq=False)
class Live:
    """A release that is ready to answer. `missing` says why an endpoint is unavailable. `beside` are the challengers of
    endpoints that declare a shadow or a canary. `asked` are the endpoints that a stream asks, also unavailable ones."""

    release: Release
    predictors: Mapping[str, Predictor] = field(default_factory=dict)
    ingests: Mapping[str, Ingest] = field(default_factory=dict)
    takers: Mapping[str, Outcomes] = field(default_factory=dict)
    features: FeatureReader | None = None
    missing: Mapping[str, MainstemError] = field(default_factory=dict)
    beside: Mapping[str, Sequence[Beside]] = field(default_factory=dict)
    asked: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def predictor(self, endpoint: str) -> Predictor:
        """Return a predictor. Raises `NotFound`; `Unavailable` if it has no champion, or nothing is loaded."""
        if endpoint in self.predictors:
            return self.predictors[endpoint]
        if endpoint in self.missing:
            raise self.missing[endpoint].with_traceback(None)
        self.reader()
        raise _unknown("endpoint", endpoint, [*self.predictors, *self.missing])

    def ingest(self, stream: str) -> Ingest:
        """Return the ingest of a stream. Raises `NotFound`."""
        if stream in self.ingests:
            return self.ingests[stream]
        self.reader()
        raise _unknown("stream", stream, list(self.ingests))

    def taker(self, endpoint: str) -> Outcomes:
        """Return what takes the outcomes of an endpoint, with or without a champion. Raises `NotFound`."""
        if endpoint in self.takers:
            return self.takers[endpoint]
        self.reader()
        raise _unknown("endpoint", endpoint, list(self.takers))

    def reader(self) -> FeatureReader:
        """Return the feature reader. Raises `Unavailable` before a release is loaded."""
        if self.features is None:
            raise Unavailable("nothing is published yet", hint="mainstem run")
        return self.features


def _unknown(kind: str, name: str, known: Sequence[str]) -> NotFound:
    return NotFound(
        f"unknown {kind} {name!r}",
        got=name,
        expected=f"one of {', '.join(sorted(known))}" if known else f"a {kind}; the project declares none",
        hint=close_matches(name, known) or "see /docs",
    )
