"""What the offline query is made of; what it answers is the conformance suite's."""

from __future__ import annotations

from typing import Any

import ibis
from ibis import _
from ibis.common.graph import Graph

import mainstem as ms
from mainstem.features.offline.join import Lookup, join
from mainstem.features.views.compile import compile_view
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition

INSTANT = "timestamp('UTC', 6)"
SCHEMA = {"who": "string", "at": INSTANT, "x": "float64"}


def query(windows: list[str], **features: Any) -> ibis.Table:
    node = ms.files("events.csv", time="at", schema=SCHEMA)
    read, known = ibis.table(SCHEMA, name="events"), dict.fromkeys(SCHEMA, Known.at("at"))
    source = Definition("events", node, (), "-", schema=SCHEMA, read=read, known=known)
    view = compile_view(ms.feature_view(node, key="who", windows=windows, **features), "view", source)
    examples = ibis.table({"who": "string", "t": INSTANT}, name="examples")
    return join(examples, "t", [Lookup(view, ("who",), "view")])


def size(table: ibis.Table) -> int:
    return len(Graph.from_bfs(table.op()))


def test_ten_windows_hardly_take_longer_to_plan_than_one() -> None:
    features = {"n": _.count(), "mean": _.x.mean(), "spread": _.x.std(), "some": _.x.quantile(0.5)}
    one, ten = (size(query([f"{hours}h" for hours in range(1, n + 1)], **features)) for n in (1, 10))
    assert ten < 2 * one


def test_each_window_has_its_own_features() -> None:
    mixed = query(["1h", "2h"], n=_.count(), mean=ms.windowed(_.x.mean(), "2h", "3h"))
    columns = ["view__n_1h", "view__n_2h", "view__mean_2h", "view__mean_3h"]
    assert [c for c in mixed.columns if c.startswith("view__")] == columns
