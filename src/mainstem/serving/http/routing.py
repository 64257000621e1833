"""Routes: the handler of a method and a path. The parts of the path are arguments of the handler.

Route("POST", "/predict/{endpoint}", post)      async def post(request: Request, endpoint: str) -> Response
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from mainstem.errors import NotFound, close_matches
from mainstem.serving.http.messages import Response
from mainstem.serving.http.refusals import WrongMethod

Handler = Callable[..., Awaitable[Response]]
"""A handler. It takes the request, and each `{part}` of the route's path as a `str` argument of that name."""

_PART = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Route:
    """A method and a path with its handler. A `{part}` matches one segment of a path.

    `scope` is the scope that a key needs; None makes the route public. Raises `TypeError` if the handler's arguments
    are not the request and the path's parts.
    """

    method: str
    path: str
    handler: Handler
    scope: str | None = "read"

    def __post_init__(self) -> None:
        takes = list(inspect.signature(self.handler).parameters)[1:]
        if takes != self.parts:
            raise TypeError(f"the handler of {self.path} takes {takes}, and the path has {self.parts}")

    @property
    def parts(self) -> list[str]:
        """The names of the path's parts, in order."""
        return _PART.findall(self.path)

    @property
    def label(self) -> str:
        """The path with each part as `NAME`, for metrics and errors."""
        return _PART.sub("NAME", self.path)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(
            "".join(f"(?P<{p}>[^/]+)" if n % 2 else re.escape(p) for n, p in enumerate(_PART.split(self.path)))
        )


class Routes:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._parted: dict[str, dict[str, Route]] = {}
        for route in routes:
            paths = self._parted if route.parts else self._fixed
            paths.setdefault(route.path, {})[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Return the route, and the path's parts by name. Raises `NotFound` or `WrongMethod`."""
        methods, parts = self._matching(path)
        wanted = "GET" if method == "HEAD" else method
        if wanted not in methods:
            allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
            raise WrongMethod(method, path, allowed)
        return methods[wanted], parts

    def open_to_all(self, path: str) -> bool:
        """Return whether a path needs no key. It costs one look-up for any path."""
        return path in self._fixed and all(route.scope is None for route in self._fixed[path].values())

    def _matching(self, path: str) -> tuple[Mapping[str, Route], Mapping[str, str]]:
        if path in self._fixed:
            return self._fixed[path], {}
        for methods in self._parted.values():
            match = next(iter(methods.values())).pattern.fullmatch(path)
            if match:
                return methods, match.groupdict()
        raise self._unknown(path)

    def _unknown(self, path: str) -> NotFound:
        every = (
            route for paths in (self._fixed, self._parted) for methods in paths.values() for route in methods.values()
        )
        known = sorted({route.label for route in every})
        name = path.rpartition("/")[2]
        near = close_matches(path, [label.replace("NAME", name) for label in known])
        return NotFound(f"unknown path {path[:80]}", got=path[:80], expected=", ".join(known), hint=near or "see /docs")
