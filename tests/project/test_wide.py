"""Wide data: twice the columns are twice the work, and a thousand of them train.

Work is counted in calls of functions, never in seconds. What DuckDB plans is held by the test of a thousand columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
import wide_project
from mainstem.features.dataset import dataset
from mainstem.features.retrieval import meanings
from mainstem.graph.fingerprint import of_expression
from mainstem.nodes.definition import Graph
from mainstem.project.live import _live
from mainstem.project.resolve import resolve
from wide_project import counted, minute

TWICE = 2.3
"""How much work twice the columns may be, at most."""

Counts = dict[str, int]


def is_at_most_twice(narrow: Counts, wide: Counts) -> None:
    grew = {what: wide[what] / narrow[what] for what in narrow}
    assert {what: factor for what, factor in grew.items() if factor > TWICE} == {}


# ── definitions: no data ─────────────────────────────────────────────────────────────────────────────


def of_definitions(declared: Callable[[], dict[str, Any]], model: str = "late") -> Counts:
    resolved, graph = counted(lambda: resolve(declared(), {}))
    made, query = counted(lambda: dataset(graph, model))
    compiled, sql = counted(lambda: ibis.to_sql(query, dialect="duckdb"))
    hashed, mark = counted(lambda: of_expression(query))
    meant, each = counted(lambda: meanings(graph, model))
    assert sql and mark and each
    return {"resolve": resolved, "dataset": made, "SQL": compiled, "fingerprint": hashed, "meanings": meant}


def latest(columns: int) -> dict[str, Any]:
    return wide_project.nodes(latest=columns)


def windowed(columns: int) -> dict[str, Any]:
    return wide_project.nodes(windowed=columns)


def over_a_table(columns: int) -> dict[str, Any]:
    """A table that computes every column, joined to another, filtered, and on-demand features of each."""
    nodes = wide_project.nodes(latest=columns, windowed=4)

    @ms.table(key="id")
    def clean(asks: ibis.Table, events: ibis.Table) -> ibis.Table:
        doubled = asks.mutate(**{f"x{n}": asks[f"x{n}"] * 2 for n in range(columns)})
        return doubled.left_join(events.select("id", "c0"), "id").filter(_.customer >= 0).drop("id_right", "c0")

    row = ms.feature_view(clean, key="id", columns=[f"x{n}" for n in range(columns)])
    more = ms.on_demand(**{f"y{n}": _[f"row__x{n}"] + 1 for n in range(columns)})
    settings: dict[str, Any] = {"examples": clean, "prediction_time": _.at, "target": _.late}
    late = ms.model(features=[row, more], **settings)
    return {**nodes, "clean": clean, "row": row, "late": late, "arrivals": ms.endpoint(late)}


def chained(columns: int) -> dict[str, Any]:
    """A view whose rows bring along the features of another."""
    nodes = wide_project.nodes(windowed=columns)
    bring = [f"recent__c{n}_1h" for n in range(columns // len(wide_project.WINDOWS))]
    brought = ms.feature_view(nodes["asks"], key="id", columns=["customer", *bring], using=nodes["recent"])
    more = {"prediction_time": _.at + ibis.interval(seconds=1), "target": _.late}
    late = ms.model(examples=nodes["asks"], features=[brought, nodes["recent"]], **more)
    return {**nodes, "brought": brought, "late": late, "arrivals": ms.endpoint(late)}


@pytest.mark.parametrize("columns", [24, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("declared", [latest, windowed, over_a_table, pytest.param(chained, marks=pytest.mark.slow)])
def test_what_definitions_take_grows_with_the_columns(declared: Callable[[int], dict[str, Any]], columns: int) -> None:
    of_definitions(lambda: declared(8))  # what is imported and cached once
    narrow, wide = (of_definitions(lambda count=count: declared(count)) for count in (columns, 2 * columns))
    is_at_most_twice(narrow, wide)


# ── a project: plan, run, read, predict, compare, show ───────────────────────────────────────────────


def of_project(columns: int) -> Counts:
    found: Counts = {}

    def take(what: str, work: Callable[[], Any]) -> Any:
        found[what], result = counted(work)
        return result

    with wide_project.project(500, latest=columns // 2, windowed=columns // 2) as project:
        assert isinstance(take("graph", lambda: project.graph), Graph)
        take("plan", project.plan)
        take("run", project.run)
        assert not take("plan again", project.plan).steps
        project.promote("arrivals")
        take("online", lambda: project.online("row").get([{"id": "i7"}], minute(499)))
        take("online windows", lambda: project.online("recent").get([{"customer": 1}], minute(499)))
        served = take("serve", lambda: _live(project).predictor("arrivals"))
        rows = [{"id": f"i{n}", "customer": n % 50, "time": minute(499)} for n in range(20)]
        answers = take("predict", lambda: served.predict([dict(row) for row in rows]))
        with project.adapters.store.transaction() as writer:
            served.logged(answers)(writer)
        take("run again", project.run)
        (report,) = take("parity", lambda: project.parity("arrivals"))
        assert report.reads == 20 and all(feature.equal == 20 for feature in report.features)
        assert len(take("show", lambda: project.show("row")).features) == columns // 2
        assert len(take("show windows", lambda: project.show("recent")).features) == columns // 2
        for name in ("asks", "late", "arrivals"):
            take(f"show {name}", lambda name=name: project.show(name))
        take("status", project.status)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_what_a_project_takes_grows_with_the_columns() -> None:
    of_project(8)  # what is imported and cached once
    is_at_most_twice(of_project(96), of_project(192))


# ── a thousand columns ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize(("view", "size"), [("row", {"latest": 1_000}), ("recent", {"windowed": 1_000})])
def test_a_thousand_columns_train_and_predict(view: str, size: dict[str, int]) -> None:
    rows = 100_000
    with wide_project.project(rows, **size, candidates=["lightgbm"]) as project:
        assert project.run().status == "published"
        table = project.dataset("late").to_pyarrow()
        assert len(table) == rows and sum(name.startswith(f"{view}__") for name in table.column_names) == 1_000
        project.promote("arrivals")
        request = {"id": "i7"} if view == "row" else {"customer": 7}
        (reading,) = project.online(view).get([request], minute(rows))
        assert len(reading) == 1_000 and sum(value is not None for value in reading.values()) >= 500
        (answer,) = project.predict("arrivals", [request], minute(rows))
        assert 0 <= answer["score"] <= 1
        assert answer["features"] == {f"{view}__{name}": value for name, value in reading.items()}
        assert len(project.show(view).features) == 1_000
