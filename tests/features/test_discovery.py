"""What `show` says of a view: sources, statistics, near duplicates, freshness."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from ibis import _

from mainstem.features.discovery import features, freshness
from mainstem.features.retrieval import retrieval_of
from mainstem.nodes.features import feature_view


@pytest.fixture
def here(small: Any, world: Any) -> Any:
    declared = small.nodes()
    again = feature_view(declared["departures"], key="origin", windows=["60min"], lateness=_.dep_delay.mean())
    half = feature_view(declared["departures"], key="origin", windows=["30min"], lateness=_.dep_delay.mean())
    return world(declared | {"again": again, "half": half})


def named(here: Any, view: str) -> dict[str, dict[str, Any]]:
    return {row["feature"]: row for row in features(here.context, view)}


def stored(here: Any, rows: list[dict[str, Any]]) -> None:
    columns = retrieval_of(here.graph, "late").columns
    here.put("dataset.late", [dict.fromkeys(columns) | row for row in rows], dict(columns))


def test_where_a_feature_comes_from_before_there_is_data(here: Any) -> None:
    found = named(here, "airport")
    assert found["delay_1h"] == {
        "feature": "delay_1h",
        "type": "float64",
        "from": "departures.dep_delay",
        "like": "again__lateness_60min (same definition)",
    }
    assert found["departures_1h"] == {"feature": "departures_1h", "type": "int64", "from": "departures"}
    assert "like" not in named(here, "half")["lateness_30min"]
    assert freshness(here.context, "airport", None) == {}


def test_statistics_and_near_duplicates_in_a_dataset(here: Any) -> None:
    rows = [
        {
            "leg__seats": n,
            "airport__departures_1h": 2 * n + 1,
            "airport__delay_1h": float((n * 7919) % 100) if n % 4 else None,
            "leg__origin": "JFK" if n % 2 else "LGA",
            "leg__dest": "JFK" if n % 2 else "LGA",
        }
        for n in range(100)
    ]
    stored(here, rows)
    delay = named(here, "airport")["delay_1h"]
    assert (delay["nulls"], delay["low"], delay["high"]) == ("25.0%", 1.0, 99.0)
    assert named(here, "airport")["departures_1h"]["like"] == "leg__seats (1.0000)"
    leg = named(here, "leg")
    assert leg["seats"]["like"] == "airport__departures_1h (1.0000)"
    assert leg["origin"]["like"] == "leg__dest (1.0000)" and leg["origin"]["distinct"] == 2


def test_late_events_are_counted_and_their_lag_is_told(small: Any, here: Any) -> None:
    late = [small.departure(n, _arrived=small.departure(n)["departed_at"] + timedelta(seconds=n)) for n in (1, 2, 30)]
    here.put("departures", [small.departure(n + 100) for n in range(9)] + late)
    here.materialise("airport")
    told = freshness(here.context, "airport", here.store)
    assert told["newest event"] == "2013-12-01 10:59:00 UTC, of 12"
    assert told["late events"].startswith("3 (25.00%) arrived after they had happened: median 2 s, 95 % within 27")
    assert told["late events"].endswith("longest 30 s")
    assert told["online until"] == "2013-12-01 10:59:00 UTC"
