"""Every interpreter against the oracle, on histories that Hypothesis makes up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ibis import _

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.view import CompiledView
from mainstem.stores.lmdb import LmdbStore
from mainstem.stores.redis import RedisStore
from mainstem.testing.features import Interpreter, example_view, expected, same
from mainstem.testing.interpreters import offline, online

MINUTE = 60_000_000

REDUCTIONS = {
    "rows": _.count(),
    "numbers": _.number.count(),
    "total": _.number.sum(),
    "mean": _.number.mean(),
    "low": _.number.min(),
    "high": _.number.max(),
    "spread": _.number.std(),
    "spread_all": _.number.var(how="pop"),
    "whole": _.whole.sum(),
    "share": (_.whole > 1).mean(),
    "some": _.whole.mean(where=_.flag),
    "flags": _.flag.max(),
    "first_text": _.text.min(),
    "last_text": _.text.last(),
    "last_number": _.number.last(),
    "last_at": _.at.last(),
    "any": _.count(where=_.flag),
}

VIEWS = {
    "windows": lambda: example_view(windows=["2min", "10min"], **REDUCTIONS),
    "closed": lambda: example_view(windows=["4min"], closed="both", resolution="2min", **REDUCTIONS),
    "exact": lambda: example_view(windows=["3min"], resolution="0s", order_by="turn", **REDUCTIONS),
    "pair": lambda: example_view(key=["who", "where"], windows=["5min"], last=_.text.last(), n=_.count()),
    "latest": lambda: example_view(columns=["number", "whole", "flag", "text", "at"]),
    "ttl": lambda: example_view(columns=["text", "whole"], ttl="3min", order_by="number"),
    "latest_closed": lambda: example_view(key=["where", "who"], columns=["number"], closed="both"),
}

instants = st.one_of(
    st.integers(-20, 20).map(lambda minute: minute * MINUTE),
    st.integers(-20 * MINUTE, 20 * MINUTE),
    st.sampled_from([-1, 0, 1, MINUTE - 1, -MINUTE - 1]),
)
keys = st.tuples(st.sampled_from(["a", "ab", "", "ü", "東"]), st.integers(0, 1))
numbers = st.one_of(
    st.none(),
    st.just(float("nan")),
    st.integers(-3, 3).map(float),
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e9, 1e9 + 10),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[Any]]:
    count = draw(st.integers(0, 25))
    events = []
    for seq in range(count):
        who, where = draw(keys)
        at = draw(st.one_of(st.none(), instants) if draw(st.integers(0, 9)) == 0 else instants)
        late = draw(st.sampled_from([0, 0, 0, 1, MINUTE, 5 * MINUTE]))
        events.append(
            {
                "who": who,
                "where": where,
                "at": at,
                "number": draw(numbers),
                "whole": draw(st.one_of(st.none(), st.integers(-4, 4))),
                "flag": draw(st.sampled_from([None, True, False])),
                "text": draw(st.sampled_from([None, "", "x", "y", "é", "東"])),
                "turn": draw(st.one_of(st.none(), st.integers(-1, 1))),
                "_seq": seq if draw(st.booleans()) else None,
                "_arrived": None if at is None or draw(st.booleans()) else at + late,
            }
        )
    times = [e["at"] for e in events if e["at"] is not None] + [
        e["_arrived"] for e in events if e["_arrived"] is not None
    ]
    near = (
        st.sampled_from(times).flatmap(lambda t: st.sampled_from([t - 1, t, t + 1, t + MINUTE])) if times else instants
    )
    queries = draw(st.lists(st.tuples(keys, st.one_of(instants, near)), max_size=8))
    return events, queries


@pytest.fixture(scope="module", params=["offline", "known", "lmdb", "redis"])
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def interpreter(which: str, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Interpreter]:
    if which in ("offline", "known"):
        yield offline(DuckdbEngine(), "known" if which == "known" else "arrived")
        return
    store: LmdbStore | RedisStore
    if which == "lmdb":
        store = LmdbStore(tmp_path_factory.mktemp("online"), sync=False)
    else:
        store = RedisStore(request.getfixturevalue("redis_server").url, uuid4().hex, "main")
    yield online(store)
    store.close()


@pytest.fixture(scope="module", params=VIEWS)
def view(request: pytest.FixtureRequest) -> CompiledView:
    return VIEWS[request.param]()


@settings(
    max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(history=histories())
def test_sees_what_the_oracle_sees(which: str, view: CompiledView, interpreter: Interpreter, history: Any) -> None:
    events, queries = history
    named = [(tuple({"who": k[0], "where": k[1]}[c] for c in view.key), t) for k, t in queries]
    found = interpreter(view, events, named)
    scale = max((abs(e["number"]) for e in events if e["number"] == e["number"] and e["number"]), default=0.0)
    assert len(found) == len(named)
    for query, actual in zip(named, found, strict=True):
        wanted = expected(view, events, query, as_of="known" if which == "known" else "arrived")
        assert actual.keys() == wanted.keys()
        unlike = {n: (actual[n], wanted[n]) for n in wanted if not same(actual[n], wanted[n], scale)}
        assert not unlike, (query, unlike)
