"""Mainstem with an endpoint that chooses 10 of 500 candidates with 20 features each: it prints its URL."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
from ibis import _

import mainstem as ms
from mainstem.project.live import service
from mainstem.serving.app import create_app
from mainstem.serving.server import listen, run

START = datetime(2026, 3, 1, tzinfo=UTC)
INSTANT = "timestamp('UTC', 6)"
CANDIDATES, FEATURES = 500, 20
NAMES = [f"f{n:02}" for n in range(FEATURES)]
ITEM = {"item": "int64", "genre": "string", "views": "int64", **dict.fromkeys(NAMES, "float64")}
RATING = {"id": "string", "at": INSTANT, "person": "string", "item": "int64", "liked": "boolean"}


def nodes() -> dict[str, Any]:
    known = {"*": _.at - ibis.interval(days=9), "liked": "at"}
    ratings = ms.files("ratings.csv", key="id", time="at", schema=RATING, known=known)
    items = ms.files("items.csv", key="item", schema=ITEM, known="always")
    item = ms.feature_view(items, key="item", columns=NAMES)
    before = _.at - ibis.interval(hours=1)
    like = ms.model(examples=ratings, prediction_time=before, target=_.liked, features=[item], candidates=["linear"])
    recommend = ms.endpoint(
        like,
        explore=0.05,
        candidates=ms.candidates(items, key="item", by="views", limit=CANDIDATES),
        decide=ms.top(10, by=_.score, at_most={"genre": 3}),
    )
    return {"ratings": ratings, "items": items, "item": item, "like": like, "recommend": recommend}


def data() -> dict[str, list[dict[str, Any]]]:
    draw = random.Random(0)
    items = [
        {"item": n, "genre": f"g{n % 8}", "views": n * 13 % 491, **{name: draw.gauss(0, 1) for name in NAMES}}
        for n in range(CANDIDATES)
    ]
    ratings = [
        {
            "id": f"R{n}",
            "at": START + timedelta(hours=n),
            "person": f"p{n % 20}",
            "item": n * 17 % CANDIDATES,
            "liked": items[n * 17 % CANDIDATES]["f00"] + draw.gauss(0, 1) > 0,
        }
        for n in range(600)
    ]
    return {"ratings": ratings, "items": items}


if __name__ == "__main__":
    with ms.testing.project(nodes(), data()) as project:
        project.run()
        project.promote("like")
        run(create_app(service(project)), listen("127.0.0.1", 0), lambda url: print(url, flush=True))
