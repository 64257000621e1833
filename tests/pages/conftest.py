from __future__ import annotations

from typing import Any

import pytest

NEEDS: dict[str, tuple[str, list[str]]] = {
    "flights": ("files", []),
    "planes": ("database", []),
    "weather": ("api", []),
    "airlines": ("web", []),
    "past_departures": ("table", ["flights"]),
    "departures": ("stream", ["past_departures"]),
    "legs": ("table", ["flights", "planes", "airlines"]),
    "hub_traffic": ("table", ["legs"]),
    "leg": ("features", ["legs"]),
    "airport": ("features", ["departures"]),
    "wx": ("features", ["weather"]),
    "late": ("model", ["legs", "leg", "airport", "wx"]),
    "arrivals": ("endpoint", ["late"]),
}


def node(name: str, kind: str, inputs: list[str], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "inputs": inputs,
        "state": "fresh",
        "due": None,
        "rows": None if kind in ("features", "model", "endpoint") else 336_776,
        "updated_at": "2013-12-01T10:00:00+00:00",
        "description": None,
        "owner": "data",
        "where": "flights.py:12",
        "error": None,
        "quarantined": None,
        "checks": [],
        "remedies": [],
        **more,
    }


def judged(judgement: str, value: float | None, day: int = 10) -> dict[str, Any]:
    return {
        "monitor": "performance",
        "metric": "average_precision",
        "judgement": judgement,
        "text": f"average precision is {judgement}",
        "judged_at": f"2013-12-{day:02d}T10:00:00+00:00",
        "rows": 900,
        "outcomes": 800,
        "value": value,
    }


def point(day: int, value: float, bad: bool) -> dict[str, Any]:
    found = judged("failing" if bad else "fine", value, day)
    both = {"until": found["judged_at"], "version": "late-3", "low": value - 0.02, "high": value + 0.02}
    return {name: v for name, v in found.items() if name not in ("monitor", "metric")} | both


def few(day: int) -> dict[str, Any]:
    return point(day, 0, False) | {"judgement": "not enough rows", "value": None, "low": None, "high": None}


def day(n: int) -> dict[str, Any]:
    return {
        "day": f"2013-12-{n:02d}",
        "predictions": 100,
        "quantiles": [0.1, 0.2, 0.3 + n / 50, 0.5, 0.8],
        "histogram": [n, 20, 30, 0, 50 - n],
        "decisions": {"allow": 90 - n, "<block>": 10 + n},
        "unknown": n / 100,
        "nulls": {"dep_delay": n / 20},
    }


@pytest.fixture
def status() -> dict[str, Any]:
    """What the flights project would say, with a stale node, a failed one and every other peculiarity."""
    nodes = {name: node(name, kind, inputs) for name, (kind, inputs) in NEEDS.items()}
    nodes["weather"] |= {"state": "stale", "due": "the source has changed"}
    nodes["hub_traffic"] |= {
        "state": "failed",
        "error": "not_null(origin) found 3 violations\n  hint: look at <origin>",
    }
    nodes["hub_traffic"]["checks"] = [
        {"check": "not_null(origin)", "severity": "error", "violations": 3, "rows": 336_776},
        {"check": "row_count(1, None)", "severity": "warn", "violations": 0, "rows": 336_776},
    ]
    nodes["legs"]["description"] = "One row per scheduled flight, with its aircraft and airline."
    finding = {"node": "departures", "column": "dep_delay", "metric": "average_precision"}
    return {
        "project": "flights",
        "profile": "default",
        "branch": "main",
        "release": "rel-20131201-3f9a2c1b",
        "nodes": list(nodes.values()),
        "endpoints": [
            {
                "name": "arrivals",
                "model": "late",
                "champion": "late-3",
                "challenger": "late-4",
                "metric": "average_precision",
                "value": 0.627,
                "low": 0.611,
                "high": 0.642,
                "baseline": 0.228,
                "algorithm": "lightgbm",
                "monitors": [judged("failing", 0.51)],
                "history": [
                    {
                        "endpoint": "arrivals",
                        "monitor": "performance",
                        "metric": "average_precision",
                        "floor": 0.55,
                        "points": [point(day, 0.62 - day / 90, day > 5) for day in range(1, 10)],
                    },
                    {"endpoint": "arrivals", "monitor": "drift", "metric": "", "points": [point(3, 2, True)]},
                    {"endpoint": "arrivals", "monitor": "value", "metric": "value", "points": [few(3)]},
                ],
                "days": [day(n) for n in range(1, 8)],
            }
        ],
        "findings": [
            {
                **finding,
                "id": "finding-2",
                "kind": "drift",
                "state": "open",
                "harmless": True,
                "summary": "weather.wind_speed has drifted; it costs nothing that can be measured",
                "cost": None,
            },
            {
                **finding,
                "id": "finding-1",
                "kind": "rescale",
                "state": "open",
                "harmless": False,
                "summary": "departures.dep_delay is about 60 times what it was: seconds instead of minutes?",
                "cost": 0.112,
            },
        ],
        "runs": [
            {
                "id": "run-20131201-1a2b3c4d",
                "status": "published",
                "started_at": "2013-12-01T10:00:00+00:00",
                "seconds": 31.4,
                "steps": 14,
            }
        ],
    }
