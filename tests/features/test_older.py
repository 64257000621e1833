"""Events that are older than what a used view still knows: taken in exactly, or loaded anew by the next run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import Unavailable
from mainstem.features.offline.join import join
from mainstem.features.online.view import online_view
from mainstem.features.retrieval import compiled
from mainstem.features.views.view import Lookup
from mainstem.graph.lineage import leaves
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

SCHEMA = {"shop": "string", "amount": "float64", "at": INSTANT}
payments = ms.stream("payments", schema=SCHEMA, time="at")
place = ms.feature_view(payments, key="shop", windows=["1h"], grace="10min", n=_.count(), mean=_.amount.mean())
own = {"key": "shop", "grace": "20min"}
over = {**own, "using": place}
ABOVE: dict[str, Any] = {
    "long": ms.feature_view(
        payments,
        **over,
        windows=["6h"],
        busy=_.place__n_1h.sum(),
        excess=(_.amount - _.place__mean_1h).sum(),
        n=_.count(),
    ),
    "short": ms.feature_view(payments, **over, windows=["1h"], busy=_.place__n_1h.sum(), n=_.count()),
    "latest": ms.feature_view(payments, **over, columns=["amount", "place__n_1h"]),
    "fresh": ms.feature_view(payments, **over, columns=["amount", "place__n_1h"], ttl="4h"),
}
SHOPS = ["a", "b", "c"]


class Shop:
    """One project directory, opened by processes with one declaration after the other."""

    def __init__(self, root: Path, above: str) -> None:
        self.root, self.before = root, datetime.now(UTC)
        self.old: dict[str, Any] = {"payments": payments, "place": place}
        self.new = {**self.old, "above": ABOVE[above], "third": self._third(ABOVE[above])}

    def _third(self, above: Any) -> Any:
        column = (
            "above__n_6h" if above is ABOVE["long"] else "above__n_1h" if above is ABOVE["short"] else "above__amount"
        )
        return ms.feature_view(payments, **own, using=above, windows=["3h"], most=_[column].max(), n=_.count())

    @contextmanager
    def opened(self, nodes: dict[str, Any]) -> Iterator[Project]:
        with Project(Settings(self.root, ProjectSettings("test", ()), Profile(), "default", Serve()), nodes) as made:
            yield made

    def event(self, shop: str, minutes: float, amount: float) -> dict[str, Any]:
        return {"shop": shop, "amount": amount, "at": (self.before - timedelta(minutes=minutes)).isoformat()}


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    """A state of `place` that has expired what is older than its grace, and a later view that uses it."""
    made = Shop(tmp_path, request.param)
    with made.opened(made.old) as project:
        project.run()
        times = [(60 * h + 3 * n, h + n / 4) for h in (12, 8, 5, 3, 2) for n in range(3)]
        rows = [made.event(name, minutes, amount) for minutes, amount in times for name in "ab"]
        project.ingest("payments", rows, backfill=True)
        project.ingest(
            "payments", [made.event(name, minutes, 9.0) for minutes in (2, 1) for name in "ab"], backfill=True
        )
        project.run()
    with made.opened(made.new) as project:
        project.run()
        place = online_view(compiled(project.graph, "place"), project.adapters.store, project.release.online)
        assert place.meta().complete_from > micros_of(made.before - timedelta(hours=2))
    return made


def answers(project: Project, at: datetime, view: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What a view answers at an instant, online and offline."""
    live = [dict(row) for row in project.online(view).get([{"shop": name} for name in SHOPS], time=at)]
    examples = ibis.memtable({"shop": SHOPS, "t": [at] * 3}, schema={"shop": "string", "t": INSTANT})
    lookup = Lookup(compiled(project.graph, view), ("shop",), "v")
    query = join(examples, "t", [lookup]).order_by("shop")
    with project.reading("test").session(leaves(query) & project.release.tables.keys()) as session:
        rows = session.fetch(query).to_pylist()
    return live, [{name: row[f"v__{name}"] for name in lookup.view.schema} for row in rows]


def assert_equal(project: Project, made: Shop) -> None:
    for minutes in (0, 15):
        for view in ("above", "third"):
            live, offline = answers(project, made.before - timedelta(minutes=minutes), view)
            assert live == [pytest.approx(row) for row in offline], (view, minutes)


def views(*quick: str) -> list[Any]:
    """Return parameters for every view above. Those that are not `quick` are of a long soak."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in ABOVE]


OLDER = [("a", 100.0), ("b", 50.0), ("c", 150.0), ("a", 900.0)]
"""Shops and minutes before now. The view between has a grace of ten minutes."""


@pytest.mark.parametrize("shop", views("long", "latest"), indirect=True)
def test_a_process_without_the_view_takes_older_events(shop: Shop) -> None:
    with shop.opened(shop.old) as project:
        project.ingest("payments", [shop.event(name, minutes, 3.0) for name, minutes in OLDER], backfill=True)
    with shop.opened(shop.new) as project:
        project.run()
        assert_equal(project, shop)
        assert not project.run().steps, "it is done"


@pytest.mark.parametrize("shop", views("short", "fresh"), indirect=True)
def test_a_process_with_the_view_takes_older_events(shop: Shop) -> None:
    """Among newer ones. Until the next run the view answers exactly, or says that it cannot."""
    older = [shop.event(name, minutes, 3.0) for name, minutes in OLDER]
    with shop.opened(shop.new) as project:
        project.ingest("payments", [*older, shop.event("a", 0.5, 2.0)], backfill=True)
        project.ingest("payments", [shop.event("b", 0.4, 1.0)], backfill=True)
        served = {}
        for view in ("above", "third"):
            try:
                found = project.online(view).get([{"shop": name} for name in SHOPS], time=shop.before)
                served[view] = [dict(row) for row in found]
            except Unavailable as error:
                assert "lacks an event that came late" in str(error)
        project.run()
        assert_equal(project, shop)
        for view, rows in served.items():
            assert rows == [pytest.approx(row) for row in answers(project, shop.before, view)[1]]
        assert not project.run().steps, "it is done"
