"""Feature views as they stand online: keys in, features out, of several views from one consistent view of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from mainstem.errors import MainstemError, NotFound, RequestError, Unavailable, close_matches
from mainstem.features.online import presence
from mainstem.features.online.meta import gone
from mainstem.features.online.rows import FeatureRow
from mainstem.features.online.view import OnlineView, Query, online_view, read_together
from mainstem.features.plan import TIME, compiled
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.nodes.records import Release, now
from mainstem.ports import Store
from mainstem.streaming.rows import RowSchema

KINDS = 256
"""Of questions, by the views that they ask, whose schema is kept."""


class FeatureReader:
    """The `views` of a project that a release has online, by name. Safe to use from several threads.

    Those of `changed` are online, but not as the project declares them now: nobody can read that state, or add to it.
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
            for name in graph.of(FeatureView)  # those that others use come first
            if name in release.online and name not in self.changed
        }

    def schema(self, names: Sequence[str]) -> RowSchema:
        """What a row that asks these views must have: the keys of all of them. Raises as `read` does."""
        keys: dict[str, str] = {}
        for name in names:
            for column, type in self.view(name).view.key.items():
                if keys.setdefault(column, type) != type:
                    hint = "ask the views one by one"
                    raise RequestError(f"the key {column!r} is of two types in these views", got=type, hint=hint)
        time = {} if TIME in keys else {TIME: INSTANT}
        return RowSchema(keys, required=tuple(keys), optional=time, where=f"features of {', '.join(names)}")

    def read(self, names: Sequence[str], rows: Sequence[Any], at: int | None = None) -> dict[str, list[FeatureRow]]:
        """Of each view a row for each of `rows`, as of its own `time`, else `at` (µs), else now; in one round trip.

        Raises `NotFound` for what is no view, `Unavailable` for one that is not online, `RequestError` for a row that
        is not as `schema` says or asks for too early a time.
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
        """By view, the error of a state that is not in the store. Raises `StorageError` if the store cannot be read."""
        lost = presence.gone({name: view.fingerprint for name, view in self.views.items()}, {}, self._store)
        return {name: gone(name, self._store) for name in sorted(lost)}

    def _fingerprint(self, view: OnlineView) -> str:
        return self._fingerprints.get(view.view.name, view.fingerprint)

    def view(self, name: str) -> OnlineView:
        """Raises `NotFound`, or `Unavailable` for a view that is not online as it is declared."""
        if name in self.views:
            return self.views[name]
        if name in self.changed:
            what = f"the view {name!r} is online, but its definition, or how its source is read, changed since"
            raise Unavailable(what, hint="mainstem run")
        if name in self._names:
            raise Unavailable(f"the view {name!r} is not online yet", hint="mainstem run")
        expected = f"one of {', '.join(self._names)}" if self._names else "a feature view; the project declares none"
        raise NotFound(
            f"unknown feature view {name!r}", got=name, expected=expected, hint=close_matches(name, self._names)
        )
