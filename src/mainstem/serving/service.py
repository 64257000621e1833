"""What the server answers from: one release at a time. When the branch moves, the whole release is replaced."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mainstem.errors import MainstemError, StorageError, Unavailable
from mainstem.logs.outcomes import outcomes_table
from mainstem.logs.records import Event
from mainstem.logs.sent import AnsweredEvents, Keys, Sent
from mainstem.logs.shadows import shadows_table
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.instants import micros_of
from mainstem.nodes.models import Model
from mainstem.nodes.overrides import Override
from mainstem.nodes.parity import ParityReport
from mainstem.nodes.records import Release, now
from mainstem.nodes.sources import Stream
from mainstem.ports import Artifacts, State, Store, Writer
from mainstem.serving import keys
from mainstem.serving.canaries import Canaries
from mainstem.serving.challengers import Beside, challengers_of
from mainstem.serving.coalescing import Coalescer
from mainstem.serving.committer import Committer
from mainstem.serving.decisions.offers import Stored, no_tables
from mainstem.serving.features import FeatureReader
from mainstem.serving.gauges import Sample
from mainstem.serving.lags import lags
from mainstem.serving.limits import Limits
from mainstem.serving.live import Live, NoChampion
from mainstem.serving.metrics import Metrics
from mainstem.serving.predicting import Predictors, drained
from mainstem.serving.predictor import Predictor
from mainstem.serving.reasons import Background, Reasons, no_background
from mainstem.serving.shadows import Shadows
from mainstem.streaming.ingest import Ingest
from mainstem.streaming.outcomes import Outcomes

logger = logging.getLogger(__name__)

ASIDE = 2
"""Large requests that are answered at once. Others wait for them; small ones do not."""

HEAVY = 8
HEAVY_THREADS = 4
"""Rows with candidates or horizons that are answered at once when all threads are at work, and these threads."""

RETRY = 5.0
"""Seconds until a release that failed to load is tried again."""


class Service:
    """Endpoints and streams of one branch, over its online store.

    `load` gives the project's graph and the release to serve, `head` cheaply the id of that release; `artifacts` is
    where model versions' artifacts are. `stored` reads candidates from tables of a release. With `keyless`, this
    machine needs no key while none is valid. `judged` gives what monitors found of a release, and `background` the rows
    that reasons compare a prediction with.
    """

    def __init__(
        self,
        project: str,
        load: Callable[[], tuple[Graph, Release]],
        head: Callable[[], str | None],
        *,
        state: State,
        store: Store,
        artifacts: Artifacts,
        limits: Limits | None = None,
        keyless: bool = False,
        stored: Callable[[Graph, Release], Stored] = no_tables,
        branch: str = "main",
        judged: Callable[[Release], Iterable[Sample]] = lambda release: (),
        background: Background = no_background,
    ) -> None:
        self.project = project
        self.limits = limits or Limits()
        self.remote = store.remote
        self.metrics = Metrics()
        self.live = Live(Release(id="", branch="", run=""))
        self._coming: Live | None = None
        self.keyring = keys.Keyring()
        self._keyless = keyless
        self.trouble: MainstemError | None = None
        self._away: tuple[MainstemError | None, ...] = ()
        """While the state is away: the trouble that there was before."""
        self.lost: Mapping[str, MainstemError] = {}
        self.feeding: Mapping[str, MainstemError] = {}
        """Why topics that feed streams cannot be read, by stream."""
        self._load, self._head, self._branch = load, head, branch
        self._judged = judged
        self.reasons = Reasons(background)
        self.overrides: Mapping[str, Sequence[Override]] = {}
        """What operators decided for requests, by endpoint."""
        self.store = store
        self._state, self._store = state, store
        self._predictors = Predictors(state, store, artifacts, stored, lambda name: self.overrides.get(name, ()))
        self._retry_at = 0.0
        self._committer: Committer | None = None
        self._keys: dict[str, Keys] = {}
        self.answered: dict[str, AnsweredEvents] = {}
        """The events that endpoints were asked by, by endpoint."""
        self.canaries = Canaries(state, branch, self.metrics)
        self.shadows = Shadows(self.metrics, lambda work: self.committer.submit(work))
        self._coalescer = self._coalescing(1 if store.remote else 0)
        self._heavy = self._coalescing(HEAVY_THREADS, HEAVY)
        self._timely: dict[str, Coalescer] = {}
        self.aside = ThreadPoolExecutor(ASIDE, "aside")
        """Answers large requests."""
        self.declaring = ThreadPoolExecutor(1, "declaring")
        """Makes the declared answers to large requests that are late: all other threads may be at work."""

    def start(self) -> None:
        """Start the writer and load the release. A release that fails to load sets `trouble` and raises no
        exception."""
        self._committer = Committer(self._store)
        self.refresh(force=True)

    def parity(self) -> list[ParityReport]:
        """Return the newest comparison of each endpoint's reads with the lake."""
        branch = self.live.release.branch
        found = [self._state.find(ParityReport, newest=1, endpoint=e, branch=branch) for e in self.live.predictors]
        return [report for newest in found for report in newest]

    def judged(self) -> list[Sample]:
        """Return what monitors found last of the live versions, and how far the lake is behind the logs."""
        return [*self._judged(self.live.release), *lags(self.live, self._store)]

    def close(self) -> None:
        """Finish the pending writes."""
        self.aside.shutdown()
        for coalescer in (self._coalescer, self._heavy, *self._timely.values()):
            coalescer.close()
        self.declaring.shutdown()
        self.reasons.close()
        self.shadows.close()
        self.canaries.close()
        if self._committer is not None:
            self._committer.close()

    @property
    def committer(self) -> Committer:
        """The writer. Raises `Unavailable` before `start`."""
        if self._committer is None:
            raise Unavailable("the server has not started")
        return self._committer

    def coalescer_of(self, predictor: Predictor) -> Coalescer:
        """Return what answers requests that wait together. If a latency acts, that is done in a thread, and requests of
        other endpoints do not wait for it."""
        if predictor.otherwise is None:
            return self._heavy if predictor.heavy else self._coalescer
        if predictor.name not in self._timely:
            made = self._coalescing(HEAVY_THREADS, HEAVY) if predictor.heavy else self._coalescing(1)
            self._timely[predictor.name] = made
        return self._timely[predictor.name]

    def _coalescing(self, threads: int, rows: int = sys.maxsize) -> Coalescer:
        return Coalescer(lambda work: self.committer.submit(work), min(self.limits.together, rows), threads=threads)

    def ingesting(self, stream: str, events: Sequence[Event]) -> Callable[[Writer], int]:
        """Return a function that takes events within a transaction.

        It takes them for the release that is live at the time of the transaction, and for the one that is being loaded.
        """

        def write(writer: Writer) -> int:
            coming = self._coming  # read the loading release first: when it is unset, it is live already
            ingest = self.live.ingest(stream)
            resolved = ingest.resolved(writer, events)
            first = ingest.add(writer, resolved)
            if coming is not None and stream in coming.ingests:
                coming.ingests[stream].take(writer, resolved, first)
            return first

        return write

    def once(self, stream: str, events: Sequence[Event], key: str, body: bytes) -> Callable[[Writer], tuple[int, bool]]:
        """Return a function as `ingesting` does, for a request with an idempotency key and the hash of its body.

        It returns whether the request was taken before, too. Then it changes nothing.
        """
        take, keys, at = self.ingesting(stream, events), self._keys.setdefault(stream, Keys(stream)), micros_of(now())

        def write(writer: Writer) -> tuple[int, bool]:
            held = keys.taken(writer, key, body, at)
            if held is not None:
                return held.first, True
            first = take(writer)
            keys.note(writer, key, Sent(at, first, len(events), body))
            return first, False

        return write

    # ── following the branch ──────────────────────────────────────────────────────────────────────────

    def refresh(self, *, force: bool = False) -> None:
        """Serve the release that the branch publishes. If it fails to load, the previous one stays live."""
        try:
            self.keyring = keys.keyring(self._state, keyless=self._keyless)
            self._follow_overrides()
            self.canaries.follow()
            head = self._head() or ""
        except Exception as error:
            self._away = self._away or (self.trouble,)
            self._troubled(error)
        else:
            if self._away:
                (self.trouble,), self._away = self._away, ()
            self._follow(head, force=force)
        self.lost = self._gone()

    def _follow(self, head: str, *, force: bool) -> None:
        try:
            if force or (head != self.live.release.id and time.monotonic() >= self._retry_at):
                self._swap()
        except Exception as error:
            self._troubled(error)

    def _follow_overrides(self) -> None:
        """Take the overrides that were not ended, and log a change."""
        found = dict[str, list[Override]]()
        for each in self._state.find(Override, branch=self._branch):
            if each.ended_at is None:
                found.setdefault(each.endpoint, []).append(each)
        if found != self.overrides:
            told = [f"{o.id} {o.endpoint}: {o.decision}, by {o.who}: {o.why}" for each in found.values() for o in each]
            logger.info("overrides: %s", "; ".join(told) or "none", extra={"fields": {"event": "overrides"}})
            self.overrides = found

    def broken(self) -> dict[str, MainstemError]:
        """Return by name the reason why an endpoint cannot answer. An endpoint without a champion is not broken."""
        live = self.live
        found = {name: error for name, error in live.missing.items() if not isinstance(error, NoChampion)}
        for name, predictor in live.predictors.items():
            lost = [self.lost[view] for view in predictor.views if view in self.lost]
            found |= {name: lost[0]} if lost else {}
        return found

    def _gone(self) -> dict[str, MainstemError]:
        """Return by view the reason why its live state cannot be read: it is not in the store."""
        features = self.live.features
        try:
            return {} if features is None else features.gone()
        except MainstemError as error:
            return dict.fromkeys(features.views if features else (), error)

    def _swap(self) -> None:
        graph, release = self._load()
        self.trouble = None
        live = self._coming = self._loaded(graph, release)
        try:
            self._take_in(live)
            self.live = live
        finally:
            self._coming = None
        self.metrics.loaded(time.time())
        beside = [(name, each) for name, every in live.beside.items() for each in every]
        self.metrics.challenging({(name, b.version): b.trouble is None for name, b in beside if b.version})
        self.canaries.show(each.split.guard for _, each in beside if each.split)
        said = {"event": "release loaded", "release": release.id, "run": release.run or None, "branch": release.branch}
        logger.info("release %s is live", release.id, extra={"fields": said})

    def _take_in(self, live: Live) -> None:
        """Bring the states of a new release up to the end of the logs, because another process built them.

        Events that arrive meanwhile are added to these states too, so readers do not miss any.
        """
        try:
            for ingest in live.ingests.values():
                self.committer.submit(partial(ingest.write, events=())).result()
        except StorageError as error:
            if self.live.release.id:
                raise
            self._troubled(error)  # no release is live: each request gets the error

    def _troubled(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + RETRY
        self.metrics.failed()
        known = isinstance(error, MainstemError)
        logger.error("the release cannot be loaded: %s", error, exc_info=None if known else error)
        self.trouble = error if isinstance(error, MainstemError) else Unavailable(str(error) or type(error).__name__)

    def _loaded(self, graph: Graph, release: Release) -> Live:
        features = FeatureReader(graph, release, self._store)
        if self.live.release.id and features.changed:
            features.view(features.changed[0])  # raises: the live release is better than an error
        predictors: dict[str, Predictor] = {}
        missing: dict[str, MainstemError] = {}
        for name, node in graph.of(Endpoint).items():
            try:
                predictors[name] = self._predictors.of_champion(graph, release, name, node, features)
            except Unavailable as error:
                missing[name] = error
            except MainstemError as error:
                if self.live.release.id:
                    raise  # the live release is better than an error
                missing[name] = self.trouble = error
        endpoints = graph.of(Endpoint)
        beside = {
            name: self._beside(graph, release, champion, endpoints[name], features)
            for name, champion in predictors.items()
            if endpoints[name].challenged
        }
        challengers = [each.predictor for every in beside.values() for each in every if each.predictor is not None]
        self._predictors.scorers = {p.version.id: p.scorer for p in [*predictors.values(), *challengers]}
        ingests = {
            name: Ingest(
                graph[name],
                [v for v in features.views.values() if v.view.source == name],
                self._store,
                release.cutovers.get(name),
                drained(release, name),
                self.limits.ahead,
            )
            for name in graph.of(Stream)
        }
        takers = {name: Outcomes(graph, name, drained(release, outcomes_table(name))) for name in graph.of(Endpoint)}
        asked = dict[str, list[str]]()
        for name, node in endpoints.items():
            if node.on is not None:
                asked.setdefault(graph.name_of(node.on), []).append(name)
        return Live(release, predictors, ingests, takers, features, missing, beside, asked)

    def _beside(
        self, graph: Graph, release: Release, champion: Predictor, node: Endpoint, features: FeatureReader
    ) -> list[Beside]:
        def predictor(id: str, model: Model) -> Predictor:
            return self._predictors.of_challenger(graph, release, champion.name, node, features, id, model)

        floor = drained(release, shadows_table(champion.name))
        return challengers_of(graph, release, champion, node, predictor, self.canaries.guard, floor)

    def trial(self, model: str) -> Predictor:
        """Return a predictor of a model's newest version, promoted or not. Raises `Unavailable` without a version."""
        return self._predictors.of_newest(*self._load(), model)
