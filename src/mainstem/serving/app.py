"""The server as an ASGI application: routes, permissions, error responses, and graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping

from mainstem.errors import Unavailable
from mainstem.serving.http import docs, events, features, guard, health, metrics, openapi, predict
from mainstem.serving.http.errors import answer
from mainstem.serving.http.messages import Receive, Request, Response, Scope, Send
from mainstem.serving.http.routing import Route, Routes
from mainstem.serving.service import Service


def create_app(service: Service, extra: Iterable[Route] = ()) -> App:
    """Return the application over a service. `extra` are additional routes, such as those of the web page."""
    return App(service, [*_routes(service), *extra])


def _routes(service: Service) -> list[Route]:
    resources = (predict, features, events, health, metrics, docs, openapi)
    return [route for resource in resources for route in resource.routes(service)]


class App:
    """Dispatches requests. See `create_app`."""

    def __init__(self, service: Service, routes: Iterable[Route]) -> None:
        self.service = service
        self.routes = Routes(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(Request(scope, receive), send)

    async def _http(self, request: Request, send: Send) -> None:
        began, label = time.perf_counter(), "none"
        try:
            route, parts = self.routes.find(request.method, request.path)
            label = route.label
            response = await self._handle(route, request, parts)
        except TimeoutError:
            hint = "a run may be using the online store; send it again"
            response = answer(Unavailable("the answer was not ready in time", hint=hint))
        except Exception as error:
            response = answer(error)
        seconds = time.perf_counter() - began
        self.service.metrics.answered(label, request.method, response.status, seconds)
        await response.send(send, head=request.method == "HEAD")

    async def _handle(self, route: Route, request: Request, parts: Mapping[str, str]) -> Response:
        guard.admit(request, route.scope, self.service.keys)
        if route.method == "POST":
            guard.json_only(request)
        async with asyncio.timeout(self.service.limits.seconds):
            return await route.handler(request, **parts)

    async def _live(self, receive: Receive, send: Send) -> None:
        watching: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await asyncio.to_thread(self.service.start)
                watching = asyncio.create_task(self._watch())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if watching is not None:
                    watching.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watching
                await asyncio.to_thread(self.service.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self) -> None:
        """Follow the branch. A release that another process publishes is served within a second."""
        while True:
            await asyncio.sleep(self.service.limits.poll)
            await asyncio.to_thread(self.service.refresh)
