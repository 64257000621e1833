"""Read feature views online: keys in, features out, for several views from one consistent view of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from mainstem.errors import MainstemError, NotFound, RequestError, Unavailable, close_matches
from mainstem.features.online import presence
from mainstem.features.online.meta import gone
from mainstem.features.online.rows import FeatureRow
from mainstem.features.online.view import OnlineView, Query, online_view, read_together
from mainstem.features.retrieval import TIME, compiled
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.nodes.records import Release, now
from mainstem.ports import Store
from mainstem.streaming.rows import RowSchema

KINDS = 256
"""The number of cached schemas, one for each combination of views."""


class FeatureReader:
    """The `views` of a project that are online in a release, by name. It is thread-safe.

    The views of `changed` are online with another definition than the project's. Their state cannot be read or updated.
    """

    def __init__(self, graph: Graph, release: Release, store: Store) -> None:
        self._store = store
        self._asked = lru_cache(KINDS)(self._ask)
        self._names = sorted(graph.of(FeatureView))
        self._fingerprints = release.fingerprints
        self.changed = tuple(
            name
            for name in self._names
            if name in release.online and release.fingerprints.get(name) not in (None, graph[name].made_by)
        )
        self.views: Mapping[str, OnlineView] = {
            name: online_view(compiled(graph, name), store, release.online, published=True)
            for name in graph.of(FeatureView)  # views that others use come first
            if name in release.online and name not in self.changed
        }

    def schema(self, names: Sequence[str]) -> RowSchema:
        """Return the schema of a row for these views: the keys of all of them. Raises as `read` does."""
        keys: dict[str, str] = {}
        for name in names:
            for column, type in self.view(name).view.key.items():
                if keys.setdefault(column, type) != type:
                    hint = "read the views one by one"
                    raise RequestError(f"the key {column!r} has different types in these views", got=type, hint=hint)
        time = {} if TIME in keys else {TIME: INSTANT}
        return RowSchema(keys, required=tuple(keys), optional=time, where=f"features of {', '.join(names)}")

    def read(self, names: Sequence[str], rows: Sequence[Any], at: int | None = None) -> dict[str, list[FeatureRow]]:
        """Return for each view a row for each of `rows`, at the row's `time`, else `at` (µs), else now, in one round
        trip.

        Raises `NotFound` for an unknown view, `Unavailable` for a view that is not online, and `RequestError` for a row
        that does not fit `schema` or has too early a time.
        """
        schema, views = self._asked(tuple(names))
        checked = schema.check(rows)
        present = micros_of(now()) if at is None else at
        times = [row.pop(TIME, present) if TIME in schema.optional else present for row in checked]
        queries = [Query(view, [[row[c] for c in view.view.key] for row in checked], times) for view in views]
        found: dict[str, list[FeatureRow]] = {}
        for view, readings in zip(views, read_together(queries), strict=True):
            of, fingerprint = view.view, self._fingerprint(view)
            answers = zip(checked, times, readings, strict=True)
            found[of.name] = [FeatureRow(of, row, t, reading, fingerprint) for row, t, reading in answers]
        return found

    def _ask(self, names: tuple[str, ...]) -> tuple[RowSchema, list[OnlineView]]:
        return self.schema(names), [self.view(name) for name in dict.fromkeys(names)]

    def gone(self) -> dict[str, MainstemError]:
        """Return by view the error of a missing state. Raises `StorageError` if the store cannot be read."""
        lost = presence.gone({name: view.fingerprint for name, view in self.views.items()}, {}, self._store)
        return {name: gone(name, self._store) for name in sorted(lost)}

    def _fingerprint(self, view: OnlineView) -> str:
        return self._fingerprints.get(view.view.name, view.fingerprint)

    def view(self, name: str) -> OnlineView:
        """Return a view. Raises `NotFound`, or `Unavailable` if the view is not online as declared."""
        if name in self.views:
            return self.views[name]
        if name in self.changed:
            what = f"the view {name!r} is online with an older definition of the view or its source"
            raise Unavailable(what, hint="mainstem run")
        if name in self._names:
            raise Unavailable(f"the view {name!r} is not online yet", hint="mainstem run")
        expected = f"one of {', '.join(self._names)}" if self._names else "a feature view; the project declares none"
        raise NotFound(
            f"unknown feature view {name!r}", got=name, expected=expected, hint=close_matches(name, self._names)
        )
