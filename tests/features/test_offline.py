"""What the offline query is made of; what it answers is the conformance suite's."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _
from ibis.common.graph import Graph

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.offline import tiles, visibility, windowed
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


def instants(*days: float) -> pa.Array:
    return pa.array([int(day * 86_400_000_000) for day in days], pa.timestamp("us", tz="UTC"))


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


@pytest.mark.parametrize("worth, tiled", [(6, []), (0.1, ["rush"])])
def test_keys_that_are_crowded_nowhere_or_hardly_asked_about_are_paired(
    worth: float, tiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many events they have altogether; and one query pairs some and tiles others."""
    at = {"few": range(20), "calm": range(1_000), "rush": [500 + n / 2_000 for n in range(600)]}
    who = [key for key, days in at.items() for _day in days]
    days = [float(day) for each in at.values() for day in each]
    events = pa.table({"who": who, "at": instants(*days), "x": [float(n % 7) for n in range(len(who))]})
    asked = [(key, day + 0.5) for key in at for day in (10, 500, 500.25, 700)]
    examples = pa.table({"who": [key for key, _day in asked], "t": instants(*(day for _key, day in asked))})
    features = {"n": _.count(), "total": _.x.sum(), "spread": _.x.std()}
    busy, chosen = windowed._Running._busy, list[ibis.Table]()
    monkeypatch.setattr(windowed, "WORTH", worth)
    monkeypatch.setattr(windowed._Running, "_busy", lambda *given: chosen.append(busy(*given)) or chosen[-1])
    with DuckdbEngine().session({"events": events, "examples": examples}) as session:
        mixed = session.fetch(query(["1d", "2d"], **features).order_by("who", "t")).to_pylist()
        assert session.fetch(chosen[0])["who"].to_pylist() == tiled
    monkeypatch.setattr(visibility, "FEW", 10_000)
    with DuckdbEngine().session({"events": events, "examples": examples}) as session:
        paired = session.fetch(query(["1d", "2d"], **features).order_by("who", "t"))
    for one, other in zip(mixed, paired.to_pylist(), strict=True):
        assert one.pop("t") == other.pop("t") and one == pytest.approx(other)


def test_tiles_are_as_small_as_the_most_crowded_stretch_of_a_window_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst is cut as small as if it always were so, and a window with few events is not cut at all."""
    burst = [500 + n / 5_000_000 for n in range(5_000)]  # in a minute and a half
    events = pa.table({"who": ["a"] * 5_200, "at": instants(*burst, *range(200)), "x": [1.0] * 5_200})
    examples = pa.table({"who": ["a"] * 4_000, "t": instants(*burst[::2], *(n / 10 for n in range(1_500)))})
    depths, chosen = tiles.Tiles._depths, list[ibis.Table]()
    monkeypatch.setattr(windowed, "WORTH", 1)
    monkeypatch.setattr(tiles.Tiles, "_depths", lambda *given: chosen.append(depths(*given)) or chosen[-1])
    with DuckdbEngine().session({"events": events, "examples": examples}) as session:
        found = session.fetch(query(["1h", "30d"], n=_.count()).order_by("t")).to_pylist()
        depth = {row["_window"]: row["_depth"] for row in session.fetch(chosen[0]).to_pylist()}
    assert depth == {0: 2, 1: 2}, "more than 1,024 events are in one hour, and so in one month"
    assert [row["view__n_1h"] for row in found[-2:]] == [4_996, 4_998]
