"""How often a store that is far away is asked: not once per key, nor per view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ibis import _

from mainstem.features.online.view import OnlineView, Query, read_together
from mainstem.stores.redis import RedisStore
from mainstem.testing.features import SCHEMA, example_view

MINUTE = 60_000_000

Asked = Callable[[], dict[str, int]]


@pytest.fixture
def store(make_redis: Any) -> Iterator[RedisStore]:
    found = RedisStore(make_redis().url, "flights", "main")
    yield found
    found.close()


@pytest.fixture
def asked(store: RedisStore) -> Asked:
    """How often each command was sent since the last call; those within scripts and the question count too."""

    def count() -> dict[str, int]:
        ask = store._reach().ask
        stats = ask("INFO", "commandstats")
        ask("CONFIG", "RESETSTAT")
        return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}

    count()
    return count


def events(keys: int) -> dict[str, list[Any]]:
    rows = [dict.fromkeys(SCHEMA) | {"who": f"k{n}", "at": n % 7 * MINUTE, "number": float(n)} for n in range(keys)]
    hidden = [{"_seq": n, "_arrived": n % 7 * MINUTE} for n in range(keys)]
    return {name: [row[name] for row in map(dict.__or__, rows, hidden)] for name in (*SCHEMA, "_seq", "_arrived")}


def views(store: RedisStore) -> list[OnlineView]:
    latest = example_view(columns=["number"])
    windowed = example_view(windows=["3min", "5min"], n=_.count())
    return [OnlineView(latest, store), OnlineView(windowed, store)]


def test_events_of_many_keys_are_taken_in_with_one_question_per_view(store: RedisStore, asked: Asked) -> None:
    for view in views(store):
        with store.transaction() as writer:
            view.apply(writer, events(100))
        sent = asked()
        assert sent["hmget"] == 1 and sent["eval"] == 2  # for the turn, and for the commit
        with store.transaction() as writer:
            assert view.apply(writer, events(200)) == 200
        assert asked()["hmget"] == 1


def test_many_views_and_keys_are_one_question(store: RedisStore, asked: Asked) -> None:
    latest, windowed = views(store)
    for view in (latest, windowed):
        with store.transaction() as writer:
            view.apply(writer, events(50))
    asked()
    keys, times = [(f"k{n}",) for n in range(60)], [10 * MINUTE] * 60
    queries = [Query(latest, keys, times), Query(windowed, keys, times), Query(latest, keys[:1], times[:1])]
    found = read_together(queries)
    sent = asked()
    assert sent["exec"] == 1 and sent["hmget"] == 3 and "eval" not in sent
    assert found == [
        view.read(k, t)
        for view, k, t in ((latest, keys, times), (windowed, keys, times), (latest, keys[:1], times[:1]))
    ]
    assert found[0][3].values == {"number": 3.0} and found[0][55].missing
