"""The server as an ASGI application: routes, permissions, error responses, and graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping

from mainstem.errors import Unavailable
from mainstem.serving.feeders import Feeders
from mainstem.serving.http import docs, events, features, guard, health, metrics, openapi, outcomes, predict, v2
from mainstem.serving.http.errors import answer
from mainstem.serving.http.messages import Receive, Request, Response, Scope, Send
from mainstem.serving.http.routing import Route, Routes
from mainstem.serving.journal import REQUEST, Journal, request_id
from mainstem.serving.metrics import known_method
from mainstem.serving.service import Service

logger = logging.getLogger(__name__)

NO_ROUTE = "none"
"""What logs and metrics call the route of a request that has none."""


def create_app(
    service: Service, extra: Iterable[Route] = (), journal: Journal | None = None, feeders: Feeders | None = None
) -> App:
    """Return the application over a service. `extra` are additional routes, such as those of the web page. Requests are
    logged to `journal`. `feeders` read topics into streams while it runs."""
    return App(service, [*_routes(service), *extra], journal or Journal(), feeders)


def _routes(service: Service) -> list[Route]:
    resources = (predict, v2, outcomes, features, events, health, metrics, docs, openapi)
    return [route for resource in resources for route in resource.routes(service)]


class App:
    """Dispatches requests. See `create_app`."""

    def __init__(
        self, service: Service, routes: Iterable[Route], journal: Journal, feeders: Feeders | None = None
    ) -> None:
        self.service = service
        self.feeders = feeders
        self.routes = Routes(routes)
        self.journal = journal
        self.stopping = False
        """Whether connections are closed after their next answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(Request(scope, receive), send)

    async def _http(self, request: Request, send: Send) -> None:
        began, id = time.perf_counter(), request_id(request.header("x-request-id"))
        REQUEST.set(id)
        label, response = await self._answered(request)
        self._note(id, request.method, label, response.status, time.perf_counter() - began)
        more = {"x-request-id": id, **({"connection": "close"} if self.stopping or response.status == 408 else {})}
        await response.send(send, head=request.method == "HEAD", more=more)

    async def _answered(self, request: Request) -> tuple[str, Response]:
        """Return the route's label and the answer. Large requests are refused first, then missing keys."""
        label = NO_ROUTE
        try:
            guard.bounded(request, self.service.limits)
            key = guard.admit(request, self.service.keyring, open_to_all=self.routes.open_to_all(request.path))
            route, parts = self.routes.find(request.method, request.path)
            label = route.label
            guard.allowed(key, route.scope)
            return label, await self._handle(route, request, parts)
        except TimeoutError:
            hint = "is a run holding the online store? send it again"
            return label, answer(Unavailable("the answer was not ready in time", hint=hint), request.path)
        except asyncio.CancelledError:
            if not self.stopping:
                raise
            return label, answer(Unavailable("the server is stopping", hint="send it again"), request.path)
        except Exception as error:
            return label, answer(error, request.path)

    async def _handle(self, route: Route, request: Request, parts: Mapping[str, str]) -> Response:
        limits = self.service.limits
        if route.method == "POST":
            guard.json_only(request)
            request.content = await request.body(limits.max_bytes, limits.body, limits.stall)
        async with asyncio.timeout(limits.seconds):
            return await route.handler(request, **parts)

    def refused(self, status: int) -> str:
        """Note an answer to what was no request; its id."""
        id = request_id(None)
        self._note(id, "none", NO_ROUTE, status, 0.0)
        return id

    def _note(self, id: str, method: str, label: str, status: int, seconds: float) -> None:
        self.service.metrics.answered(label, method, status, seconds)
        self.journal.write(
            event="request",
            request=id,
            method=known_method(method),
            route=label,
            status=status,
            ms=round(seconds * 1_000, 3),
            release=self.service.live.release.id or None,
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        watching: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await asyncio.to_thread(self.service.start)
                await asyncio.to_thread(self._feed)
                watching = asyncio.create_task(self._watch())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if watching is not None:
                    watching.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watching
                if self.feeders is not None:
                    await asyncio.to_thread(self.feeders.close)
                await asyncio.to_thread(self.service.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self) -> None:
        """Follow the branch. A release that another process publishes is served within a second.

        What fails, such as to share counters on a full disk, is logged once, and does not end the rest.
        """
        failed = dict[str, str]()
        while True:
            await asyncio.sleep(self.service.limits.poll)
            for work in (self.service.refresh, self._feed, self.service.metrics.share):
                name = work.__name__
                try:
                    await asyncio.to_thread(work)
                    failed.pop(name, None)
                except Exception as error:
                    if failed.get(name) != str(error):
                        logger.error("following the branch failed (%s): %s", name, error, exc_info=error)
                    failed[name] = str(error)

    def _feed(self) -> None:
        """Read the topics of streams that the live release has."""
        if self.feeders is not None:
            self.feeders.refresh()
            self.service.feeding = self.feeders.troubles
