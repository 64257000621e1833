"""Logged reads against the lake: what is equal, what is not, and why."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from ibis import _

from mainstem.errors import NotFound
from mainstem.features.dataset import with_features
from mainstem.nodes.endpoints import endpoint
from mainstem.nodes.features import feature_view, on_demand
from mainstem.nodes.parity import FeatureParity, ParityReport
from mainstem.nodes.records import Release
from mainstem.nodes.reductions import ewma, last_k, skew, slope
from mainstem.nodes.sources import stream
from mainstem.parity.compare import _equal, compare
from mainstem.streaming.predictions import prediction_schema


@pytest.fixture
def here(small: Any, world: Any) -> Any:
    declared = small.nodes()
    made = world(declared | {"arrivals": endpoint(declared["late"])})
    made.put("flights", [small.flight(n) for n in range(3)])
    late = small.departure(30, _arrived=small.NOON)
    made.put("departures", [small.departure(10), small.departure(20), late])
    return made


def served(small: Any, here: Any, *rows: dict[str, Any]) -> None:
    """Log reads of F0, F1, … at 11:00, each with what is right but for `rows`."""
    right = {"leg__origin": "JFK", "leg__dest": "LAX", "airport__delay_1h": 15.0, "airport__departures_1h": 2}
    logged = [
        {
            "_id": f"p{n}",
            "_t": small.NOON - timedelta(hours=1),
            "_logged_at": small.NOON,
            "_version": "late-1",
            "flight_id": f"F{n}",
            "leg__seats": 100 + n,
            **right,
            **row,
        }
        for n, row in enumerate(rows)
    ]
    here.put("predictions.arrivals", logged, prediction_schema(here.graph, "arrivals"))


def test_no_difference_is_no_mismatch(small: Any, here: Any) -> None:
    served(small, here, {}, {"airport__delay_1h": 15.0 + 1e-12}, {})
    report = compare(here.context, "arrivals")
    assert report.ok and report.lines() == ["3 reads of arrivals × 5 features: 0 mismatches"]
    assert [f.name for f in compare(here.context, "arrivals", view="airport").features] == [
        "airport__delay_1h",
        "airport__departures_1h",
    ]
    assert compare(here.context, "arrivals", sample=2).reads == 2


def test_each_difference_has_its_cause(small: Any, here: Any) -> None:
    served(
        small,
        here,
        {"airport__delay_1h": 20.0, "airport__departures_1h": 3},  # saw the event that arrived at noon
        {"airport__delay_1h": 15.0 + 1e-7, "leg__dest": None},
        {"leg__seats": 7},
    )
    report = compare(here.context, "arrivals")
    assert not report.ok and report.mismatches == 5
    by_name = {feature.name: feature for feature in report.features}
    assert by_name["airport__departures_1h"].causes == {"late event": 1}
    assert by_name["airport__delay_1h"].causes == {"late event": 1, "float tolerance": 1}
    assert by_name["leg__dest"].missing == 1 and by_name["leg__dest"].example == "p1"
    assert by_name["leg__seats"].different == 1 and by_name["leg__seats"].causes == {"data changed, or unknown": 1}
    assert by_name["leg__origin"].equal == 3
    assert report.lines()[0] == "3 reads of arrivals × 5 features: 5 mismatches"
    rates = "equal 66.67%, different 16.67%, missing 16.67%, extra 0.00%"
    unknown = f"  leg__…: 2 features, {rates} (2 data changed, or unknown), such as p1: dest, seats"
    assert unknown in report.lines() and len(report.lines()) == 4
    assert any(line.startswith("  airport__departures_1h: equal 66.67%, different 33.33%") for line in report.lines())


def test_only_what_is_unexplained_is_looked_up_again(small: Any, here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what that is looked up by."""
    asked: list[tuple[str, ...]] = []

    def counted(rows: Any, plan: Any, as_of: Any) -> Any:
        asked.append((as_of, *(c for step in plan.lookups for c in step.columns)))
        return with_features(rows, plan, as_of)

    monkeypatch.setattr("mainstem.parity.compare.with_features", counted)
    served(small, here, {}, {"airport__departures_1h": 3})
    compare(here.context, "arrivals", view="airport")
    assert asked == [
        ("arrived", "leg__origin", "airport__delay_1h", "airport__departures_1h"),
        ("known", "leg__origin", "airport__departures_1h"),
    ]


def test_an_event_that_came_while_it_was_read(small: Any, here: Any) -> None:
    """It arrived a second before the prediction, and was written a moment later."""
    at = small.NOON - timedelta(hours=1, seconds=1)
    here.put("departures", [small.departure(10), small.departure(20), small.departure(0, departed_at=at, _arrived=at)])
    served(small, here, {})
    report = compare(here.context, "arrivals", view="airport")
    assert [f.causes for f in report.features] == [{"event in flight": 1}] * 2


def test_reads_of_an_older_definition(small: Any, here: Any) -> None:
    served(small, here, {"leg__seats": 7}, {"leg__seats": 8, "_logged_at": small.NOON + timedelta(hours=2)})
    now = here.graph["leg"].made_by
    before = Release("r1", "main", "-", None, small.NOON - timedelta(days=1), fingerprints={"leg": "another"})
    after = Release("r2", "main", "-", "r1", small.NOON + timedelta(hours=1), fingerprints={"leg": now})
    here.state.save(*(replace(release, online={"leg": "-"}) for release in (before, after)))
    context = here.context
    context.release = replace(context.release, id="r2")
    report = compare(context, "arrivals", view="leg")
    causes = {f.name: dict(f.causes) for f in report.features if f.causes}
    assert causes == {"leg__seats": {"definition changed": 1, "data changed, or unknown": 1}}


def test_a_tie_that_was_broken_the_other_way(small: Any, here: Any) -> None:
    """Two rows of a flight became known at once, and nothing orders them: the larger value counts."""
    here.put("flights", [small.flight(0), {**small.flight(0), "seats": 90}])
    served(small, here, {"leg__seats": 90})
    assert [dict(f.causes) for f in compare(here.context, "arrivals", view="leg").features if f.causes] == [{"tie": 1}]


def test_a_tie_among_changes(small: Any, world: Any) -> None:
    """Of a stream of changes, two rows of an airport at one instant, and one that was taken back in between."""
    changed = stream("departures", schema={**small.EVENT, "id": "string"}, time="departed_at", key="id", changes=True)
    last = feature_view(changed, key="origin", columns=["dep_delay"])
    declared = small.nodes(features=["origin", last])
    declared = {"flights": declared["flights"], "departures": changed, "last": last, "late": declared["late"]}
    here = world(declared | {"arrivals": endpoint(declared["late"])})
    tied = [
        {**small.departure(10), "_seq": 1, "_deleted": False, "id": f"d{n}", "dep_delay": float(n)} for n in range(3)
    ]
    gone = {"_deleted": True, "_arrived": small.NOON - timedelta(hours=1, minutes=5), "_seq": 2}
    here.put("departures", [*tied, {**tied[2], **gone}])
    read = {"_t": small.NOON - timedelta(hours=1), "_logged_at": small.NOON, "_version": "late-1", "origin": "JFK"}
    logged = [{**read, "_id": f"p{n}", "last__dep_delay": float(n)} for n in range(3)]
    here.put("predictions.arrivals", logged, prediction_schema(here.graph, "arrivals"))
    (delay,) = compare(here.context, "arrivals").features
    assert (delay.equal, delay.causes) == (1, {"tie": 1, "data changed, or unknown": 1})


def test_only_reads_logged_since(small: Any, here: Any) -> None:
    served(small, here, {"leg__seats": 7}, {"_logged_at": small.NOON + timedelta(seconds=1)})
    assert compare(here.context, "arrivals").until == small.NOON + timedelta(seconds=1)
    later = compare(here.context, "arrivals", since=small.NOON)
    assert (later.reads, later.ok) == (1, True)
    assert compare(here.context, "arrivals", since=small.NOON + timedelta(seconds=1)).until is None


def test_lists_are_equal_item_by_item(small: Any, world: Any) -> None:
    delays = feature_view("departures", key="origin", windows="1h", recent=last_k(_.dep_delay, 3))
    newest = on_demand(newest=_.delays__recent_1h[0])
    declared = small.nodes(features=["origin", delays, newest]) | {"delays": delays}
    here = world(declared | {"arrivals": endpoint(declared["late"])})
    here.put("departures", [small.departure(10), small.departure(20), small.departure(30, _arrived=small.NOON)])
    lists = [[10.0, 20.0], [10.0, 20.0 + 1e-12], [10.0, 20.0 + 1e-7], [10.0, 20.0, 30.0], [], None]
    logged = [
        {
            "_id": f"p{n}",
            "_t": small.NOON - timedelta(hours=1),
            "_logged_at": small.NOON,
            "_version": "late-1",
            "flight_id": f"F{n}",
            "origin": "JFK",
            "delays__recent_1h": each,
            "newest": 10.0,
        }
        for n, each in enumerate(lists)
    ]
    here.put("predictions.arrivals", logged, prediction_schema(here.graph, "arrivals"))
    recent, computed = compare(here.context, "arrivals").features
    assert computed.equal == 6
    assert (recent.equal, recent.different, recent.missing) == (2, 3, 1)
    assert recent.causes == {"float tolerance": 1, "late event": 1, "data changed, or unknown": 2}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ([INF, 5.0, -3.0], [INF, 500.0, 3.0], [True, False, False]),
        ([1e12, 5.0, 100.0], [1e12, 5.9, 100.5], [True, False, False]),
        ([1e12, 5.0, 0.0], [1e12 + 1, 5.0 + 1e-12, 1e-12], [True, True, False]),
        ([INF, INF, -INF, INF], [-INF, 1e308, -INF, None], [False, False, True, False]),
        ([None, NAN, None, NAN], [None, None, 0.0, INF], [True, True, False, False]),
        ([1e308, -1e308], [-1e308, -1e308], [False, True]),
    ],
)
def test_each_row_is_measured_by_its_own_values(a: list[Any], b: list[Any], equal: list[bool]) -> None:
    """However large the others of the column are."""
    columns = (pa.chunked_array([pa.array(values, type=pa.float64())]) for values in (a, b))
    assert _equal(*columns).tolist() == equal


def test_lists_with_nothing_in_them_or_nulls() -> None:
    a, b = [[], [INF, 1.0], [None, 1.0], [1.0]], [[1.0], [INF, 1.0 + 1e-12], [2.0, 1.0], [None]]
    columns = (pa.chunked_array([pa.array(values, type=pa.list_(pa.float64()))]) for values in (a, b))
    assert _equal(*columns).tolist() == [False, True, False, False]


def test_many_differences_are_told_on_a_screen() -> None:
    """Of one cause on a line; with how many there are, though not each by its name."""
    unknown = {"data changed, or unknown": 1}
    features = [FeatureParity(f"v{n // 5}__f{n}", 20, 19, 1, causes=unknown, example="p0") for n in range(100)]
    equal = FeatureParity("v0__equal", 20, 20)
    late = FeatureParity("v1__late", 20, 14, 6, causes={"late event": 6}, example="p9")
    lines = ParityReport("arrivals", "main", "r1", 20, (*features, equal, late)).lines()
    rates = "equal 95.00%, different 5.00%, missing 0.00%, extra 0.00%"
    group = f"  v0__…: 5 features, {rates} (5 data changed, or unknown), such as p0: f0, f1, f2, f3, f4"
    assert lines[0] == "20 reads of arrivals × 102 features: 106 mismatches" and group in lines
    assert any(line.startswith("  v1__late: equal 70.00%") for line in lines)
    assert len(lines) == 14 and lines[-1] == "  and 45 mismatches of 45 more features; --json has them all"


def test_without_predictions_there_is_nothing_to_compare(here: Any) -> None:
    with pytest.raises(NotFound, match="no predictions in the lake"):
        compare(here.context, "arrivals")


def amounts(small: Any, world: Any, **features: Any) -> Any:
    """A project of one windowed view of departures, `w`, with the endpoint `arrivals`."""
    departures = small.nodes()["departures"]
    view = feature_view(departures, key="origin", windows="1h", **features)
    declared = small.nodes(features=["origin", view]) | {"departures": departures, "w": view}
    return world(
        {n: declared[n] for n in ("flights", "departures", "w", "late")} | {"arrivals": endpoint(declared["late"])}
    )


def test_a_sum_that_cancels_is_as_exact_as_what_it_sums(small: Any, world: Any) -> None:
    """In its own window: a wrong value is not excused by an infinite one, or by large ones elsewhere."""
    settings = {"total": _.dep_delay.sum(), "mean": _.dep_delay.mean(), "slope": slope(_.dep_delay)}
    here = amounts(small, world, **settings, aged=ewma(_.dep_delay, half_life="1h"), skewed=skew(_.dep_delay))
    delays = {"JFK": [1e9, -1e9, 0.0], "LGA": [3.0, -3.0, 0.0], "EWR": [5e8, 1.0, 5e8], "BOS": [math.inf, 1.0, 2.0]}
    happened = [(origin, 10 * n + 10, delay) for origin, each in delays.items() for n, delay in enumerate(each)]
    events = [small.departure(at, _seq=n, origin=o, dep_delay=d) for n, (o, at, d) in enumerate(happened)]
    here.put("departures", events)
    reads = [("JFK", "total", 1e-5), ("JFK", "mean", 1e-5), ("EWR", "slope", 0.5), ("JFK", "skewed", 1e-10)]
    wrong = [("LGA", "total", 1e-5), ("LGA", "mean", 1e-5), ("JFK", "slope", 0.5), ("LGA", "skewed", 1e-8)]
    wrong += [("JFK", "total", 1.0), ("BOS", "total", 1.0), ("EWR", "total", 1e9 + 10)]
    logged = [
        {
            "_id": f"p{n:02}",
            "_t": small.NOON - timedelta(hours=1),
            "_logged_at": small.NOON,
            "_version": "late-1",
            "origin": origin,
            f"w__{name}_1h": value,
        }
        for n, (origin, name, value) in enumerate([*reads, *wrong])
    ]
    here.put("predictions.arrivals", logged, prediction_schema(here.graph, "arrivals"))
    found = {f.name: f for f in compare(here.context, "arrivals", view="w").features}
    of_infinity = 1  # which has no slope and no skewness, and none were served
    names = ("total", "mean", "slope", "skewed")
    assert [found[f"w__{name}_1h"].equal for name in names] == [1, 1, 1 + of_infinity, 1 + of_infinity]
    assert [found[f"w__{name}_1h"].different for name in names] == [4, 1, 1, 1]
