"""The live project: events in, predictions out, online features, and the server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time as clock
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from mainstem.errors import NotFound, Unavailable
from mainstem.nodes.comparisons import Comparison
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.features import FeatureView
from mainstem.nodes.instants import micros_of
from mainstem.nodes.models import Model
from mainstem.nodes.parity import ParityReport
from mainstem.nodes.records import Release
from mainstem.nodes.status import ProjectStatus

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from mainstem.project.branch import Branch
    from mainstem.serving.answer import Answer
    from mainstem.serving.app import App
    from mainstem.serving.choosing import Chosen
    from mainstem.serving.decisions.offers import Stored
    from mainstem.serving.forecasting import Forecasted
    from mainstem.serving.http.routing import Route
    from mainstem.serving.journal import Journal
    from mainstem.serving.limits import Limits
    from mainstem.serving.live import Live
    from mainstem.serving.predictor import Predictor
    from mainstem.serving.service import Service

Rows = Sequence[Mapping[str, Any]]
Pages = Callable[[Callable[[], ProjectStatus]], Iterable["Route"]]
"""Creates routes from a function that returns the status, as `mainstem.pages.routes` does."""


def service(branch: Branch) -> Service:
    """Return the service of the server. The project's methods use the same one."""
    from mainstem.monitoring import freshness
    from mainstem.monitoring.exposed import samples
    from mainstem.project.background import background
    from mainstem.serving.limits import Limits
    from mainstem.serving.service import Service

    serve, adapters = branch.settings.serve, branch.adapters

    def load() -> tuple[Graph, Release]:
        release = branch.release
        return branch.graph_of(release), release

    def head() -> str | None:
        return branch.release.id or None

    def stored(graph: Graph, release: Release) -> Stored:
        context = branch.context("serve", release, graph)

        def read(table: str, columns: Sequence[str]) -> pa.Table:
            relation: Any = graph[table].read
            with context.session(graph.stored(table)) as session:
                return session.fetch(relation.select(*columns))

        return read

    return Service(
        branch.settings.project.name,
        load,
        head,
        state=adapters.state,
        store=adapters.store,
        artifacts=adapters.artifacts,
        limits=Limits.of(serve),
        keyless=serve.keyless,
        stored=stored,
        branch=branch.branch,
        judged=lambda release: chain(
            samples(adapters.state, release, branch.branch, branch.graph_of(release).of(Endpoint)),
            freshness.samples(adapters.state, release, branch.branch),
        ),
        background=lambda version: background(branch, version),
    )


def serve(
    branch: Branch,
    host: str,
    port: int,
    pages: Pages,
    started: Callable[[str], None],
    workers: int | None = None,
) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C. `started` is called with the URL.

    Several `workers` (default: as many as mainstem.toml says) are processes with the standard pages. Raises
    `SettingsError` for an address that is not allowed, and `RunFailed` for a worker that does not start.
    """
    from mainstem.serving.limits import Limits
    from mainstem.serving.server import check_binding, listen, run

    limits = Limits.of(branch.settings.serve)
    check_binding(host, branch.adapters.state)
    branch.claim()
    count = limits.workers if workers is None else workers
    if count > 1:
        _supervise(branch, host, port, started, count, limits)
        return
    app = _app(branch, service(branch), pages)
    run(app, listen(host, port), started, branch.settings.serve.loop)


def work(branch: Branch, pages: Pages, at: int, leash: int, slot: int, shared: Path) -> None:
    """Answer as one of several workers, from the descriptors of a listening socket and of a leash to the supervisor.

    `slot` is the worker's number, and `shared` the directory of the counters of all.
    """
    from mainstem.serving.counters import Shared
    from mainstem.serving.leash import Leash
    from mainstem.serving.server import run

    branch.claim()
    served = service(branch)
    served.metrics.shared = Shared(shared, slot)
    app = _app(branch, served, pages)
    run(app, socket.socket(fileno=at), loop=branch.settings.serve.loop, leash=Leash(leash))


def _supervise(
    branch: Branch, host: str, port: int, started: Callable[[str], None], workers: int, limits: Limits
) -> None:
    from mainstem.serving.journal import taking_messages
    from mainstem.serving.server import listen
    from mainstem.serving.supervisor import Supervisor

    settings = branch.settings
    of = (str(settings.root), branch.branch, settings.profile_name)
    command = [sys.executable, "-m", "mainstem.cli.worker", *of]
    at = listen(host, port)
    with taking_messages(_journal(branch)):
        Supervisor(command, at, workers, patience=limits.hang, drain=limits.drain, started=started).run()


def _app(branch: Branch, served: Service, pages: Pages) -> App:
    from mainstem.project.status import status
    from mainstem.serving.app import create_app
    from mainstem.serving.feeders import Feeders

    feeders = Feeders(served, branch.settings.root)
    return create_app(served, pages(lambda: status(branch)), _journal(branch), feeders)


def _journal(branch: Branch) -> Journal:
    from mainstem.serving.journal import Journal

    log = branch.settings.serve.log
    return Journal(log if log in ("stderr", "off") else str(branch.settings.path(log)))


@contextmanager
def beside(branch: Branch, sample: int) -> Iterator[None]:
    """Run `mainstem parity --watch` as a process of low priority, if a sample size is given. It ends on exit."""
    if not sample:
        yield
        return
    settings = branch.settings
    asked = ("--project", str(settings.root), "--branch", branch.branch, "--profile", settings.profile_name)
    command = [sys.executable, "-m", "mainstem", "parity", "--watch", "--sample", str(sample), *asked]
    watcher = subprocess.Popen(command, preexec_fn=lambda: os.nice(10))
    try:
        yield
    finally:
        watcher.terminate()
        watcher.wait()


def parity(branch: Branch, name: str | None, sample: int | None) -> list[ParityReport]:
    """Return a report for each endpoint of a name that has reads in the lake. For a view, only its features count.

    Raises `NotFound`, or `UnknownName` for an unknown node.
    """
    from mainstem.parity.compare import compare

    asked, view = endpoints_of(branch, name), _view(branch, name)
    served = [endpoint for endpoint in asked if f"predictions.{endpoint}" in branch.release.tables]
    return [compare(branch.reading("parity"), e, view=view, sample=sample) for e in served or asked[:1]]


def watch_parity(branch: Branch, name: str | None, sample: int, every: float) -> Iterator[ParityReport]:
    """Yield a report for each endpoint of a name when a new release brings uncompared reads to the lake.

    Without a name, all endpoints are watched. Raises `NotFound`, or `UnknownName` for an unknown node.
    """
    asked = None if name is None else endpoints_of(branch, name)
    return _watched(branch, asked, sample, every)


def _watched(branch: Branch, asked: Sequence[str] | None, sample: int, every: float) -> Iterator[ParityReport]:
    seen = ""
    while True:
        release = branch.release
        if release.id != seen:
            seen = release.id
            for endpoint in branch.graph.of(Endpoint):
                if f"predictions.{endpoint}" in release.tables and (asked is None or endpoint in asked):
                    yield from _compared(branch, endpoint, sample)
        clock.sleep(every)


def _compared(branch: Branch, endpoint: str, sample: int) -> Iterator[ParityReport]:
    from mainstem.parity.compare import compare

    state = branch.adapters.state
    last = state.find(ParityReport, newest=1, endpoint=endpoint, branch=branch.branch)
    report = compare(branch.reading("parity"), endpoint, sample=sample, since=last[0].until if last else None)
    if report.reads:
        state.save(report)
        yield report


def compare(branch: Branch, name: str | None, version: str | None) -> list[Comparison]:
    """Return the comparisons of the champion with its challenger, of each endpoint of a name.

    Raises `NotFound` if no request was scored by both, or `UnknownName` for an unknown node.
    """
    from mainstem.monitoring.versus import compare

    context = branch.reading("compare")
    return [found for each in endpoints_of(branch, name, "compare") for found in compare(context, each, version)]


def predict(
    branch: Branch, name: str, rows: Rows, time: datetime | None = None, reasons: int = 0
) -> list[dict[str, Any]]:
    """Score rows as the server does, in this process. Nothing is logged."""
    from mainstem.project.background import background
    from mainstem.serving import reasons as giving

    predictor = predictor_of(branch, name)
    count = giving.counted(reasons, f"predict {name}")
    answers = _answers(predictor, [dict(row) for row in rows], None if time is None else micros_of(time))
    found = [_shown(answer, predictor.version.id) for answer in answers]
    if count:
        given_by = giving.Reasons(lambda version: background(branch, version))
        told = given_by.now({predictor.version.id: predictor}, answers, count)
        found = [giving.told(answer, each, told) for answer, each in zip(answers, found, strict=True)]
    return found


def _answers(predictor: Predictor, rows: Rows, at: int | None) -> Sequence[Any]:
    from mainstem.serving.choosing import ChoosingPredictor
    from mainstem.serving.forecasting import ForecastingPredictor

    if isinstance(predictor, ChoosingPredictor):
        return predictor.choose(rows, at)
    if isinstance(predictor, ForecastingPredictor):
        return predictor.forecasts(rows, at)
    return predictor.predict(rows, at)


def _shown(answer: Answer | Chosen | Forecasted, version: str) -> dict[str, Any]:
    """Return an answer as plain data, with every field that it may have."""
    from mainstem.serving.answer import Answer

    if not isinstance(answer, Answer):
        return {"flags": [], **answer.shown(), "version": version}
    return {
        "score": answer.score,
        "decision": answer.decision,
        "values": dict(answer.values),
        "policy": answer.policy,
        "label": answer.label,
        "scores": dict(answer.scores),
        "version": version,
        "flags": list(answer.flags),
        "features": dict(answer.features),
    }


def predictor_of(branch: Branch, name: str) -> Predictor:
    """Return the predictor of an endpoint's champion, or of a model's newest version."""
    if name not in branch.graph.of(Model):
        return _live(branch).predictor(name)
    branch.claim()
    return service(branch).trial(name)


def ingest(branch: Branch, stream: str, rows: Rows, *, backfill: bool = False) -> int:
    """Take events as the server does and return the first offset. Raises `RequestError`; then no event was taken."""
    taker = _live(branch).ingest(stream)
    events = taker.accept([dict(row) for row in rows], backfill=backfill)
    with branch.adapters.store.transaction() as writer:
        return taker.write(writer, events)


def outcomes(branch: Branch, endpoint: str, rows: Rows) -> int:
    """Take outcomes as the server does and return the first offset. Raises `RequestError`; then none was taken."""
    taker = _live(branch).taker(endpoint)
    found = taker.accept([dict(row) for row in rows])
    with branch.adapters.store.transaction() as writer:
        return taker.write(writer, found)


def _live(branch: Branch) -> Live:
    branch.claim()  # a branch has its own online state only after its fork
    served = service(branch)
    served.start()
    served.close()
    if served.trouble is not None:
        raise served.trouble
    if not served.live.release.id:
        raise Unavailable("nothing is published yet", hint="mainstem run")
    return served.live


def endpoints_of(branch: Branch, name: str | None, command: str = "parity") -> list[str]:
    """Return the endpoints of a name: an endpoint itself, or those whose model uses the view or is the model.

    Without a name it is the only endpoint. Raises `NotFound`, or `UnknownName` for an unknown node.
    """
    endpoints = list(branch.graph.of(Endpoint))
    if name in endpoints:
        return [str(name)]
    upstream = {e: branch.graph.dag.upstream(e) for e in endpoints}
    found = [e for e in endpoints if name is None or branch.graph[name].name in upstream[e]]
    if not found:
        raise NotFound(
            f"no endpoint reads {name!r}" if name else "the project has no endpoint",
            expected=f"one of {', '.join(endpoints)}" if endpoints else "ms.endpoint(…)",
        )
    if name is None and len(found) > 1:
        what, hint = "the project has several endpoints", f"mainstem {command} {found[0]}"
        raise NotFound(what, expected=f"one of {', '.join(found)}", hint=hint)
    return found


def _view(branch: Branch, name: str | None) -> str | None:
    return name if name is not None and isinstance(branch.graph[name].node, FeatureView) else None
