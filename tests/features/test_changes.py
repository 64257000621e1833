"""Events that are corrected and deleted: online at once, offline as it was known at each time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _
from msgspec.msgpack import decode

import mainstem as ms
from mainstem.errors import DefinitionError, RequestError
from mainstem.features.offline.join import join
from mainstem.features.retrieval import compiled
from mainstem.features.views.view import Lookup
from mainstem.graph.lineage import leaves
from mainstem.nodes.instants import INSTANT
from mainstem.planning.plan import Step
from mainstem.project.project import Project
from mainstem.testing import project as project_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = {"payment": "string", "card": "string", "amount": "float64", "at": INSTANT}


def payment(name: str, amount: float, minute: int, card: str = "c1") -> dict[str, Any]:
    return {"payment": name, "card": card, "amount": amount, "at": (NOON + timedelta(minutes=minute)).isoformat()}


def change(before: Any, after: Any, minute: int) -> dict[str, Any]:
    return {"before": before, "after": after, "at": (NOON + timedelta(minutes=minute)).isoformat()}


FIRST, RIGHT, OTHER = payment("p1", 10, 1), payment("p1", 7, 1), payment("p2", 5, 2)
LOG = [
    change(None, FIRST, 1),
    change(None, OTHER, 2),
    change(FIRST, RIGHT, 10),  # ten was a typing error
    change(OTHER, None, 20),  # and the other was never made
    change(None, payment("p3", 1, 25), 25),
]
SEEN = {5: (15.0, 2, 10.0, 5.0), 15: (12.0, 2, 7.0, 5.0), 21: (7.0, 1, 7.0, 7.0), 30: (8.0, 2, 7.0, 1.0)}
"""By the minute of a query: the sum, the count, the largest, and the last amount."""


@pytest.fixture
def log(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return getattr(request, "param", LOG)


@pytest.fixture
def shop(log: list[dict[str, Any]]) -> Iterator[Project]:
    payments = ms.stream("payments", schema=SCHEMA, time="at", key="payment", changes=True)
    spent = ms.feature_view(
        payments,
        key="card",
        windows=["1h"],
        total=_.amount.sum(),
        count=_.count(),
        most=_.amount.max(),
        grace="100000d",
    )
    last = ms.feature_view(payments, key="card", columns=["amount"], grace="100000d")

    @ms.table(key="payment", time="at")
    def large(payments):
        "What readers of tables see: what is true now."
        return payments.filter(payments.amount > 4)

    with project_of({"payments": payments, "spent": spent, "last": last, "large": large}, data={}) as made:
        made.run()
        for batch in filter(None, (log[:3], log[3:])):
            made.ingest("payments", batch, backfill=True)
        yield made


def online(shop: Project) -> dict[int, tuple[Any, ...]]:
    found = {}
    for minute in SEEN:
        at = NOON + timedelta(minutes=minute)
        ((spent,), (last,)) = (shop.online(view).get([{"card": "c1"}], time=at) for view in ("spent", "last"))
        found[minute] = (spent["total_1h"], spent["count_1h"], spent["most_1h"], last["amount"])
    return found


def offline(shop: Project, as_of: Any) -> dict[int, tuple[Any, ...]]:
    examples = ibis.memtable(
        {"card": ["c1"] * len(SEEN), "minute": list(SEEN), "t": [NOON + timedelta(minutes=m) for m in SEEN]},
        schema={"card": "string", "minute": "int64", "t": INSTANT},
    )
    lookups = [Lookup(compiled(shop.graph, name), ("card",), name) for name in ("spent", "last")]
    query = join(examples, "t", lookups, as_of)
    with shop.reading("test").session(leaves(query) & shop.release.tables.keys()) as session:
        rows = session.fetch(query).to_pylist()
    columns = ("spent__total_1h", "spent__count_1h", "spent__most_1h", "last__amount")
    return {row["minute"]: tuple(row[c] for c in columns) for row in rows}


def test_online_at_once_and_as_of_any_time(shop: Project) -> None:
    assert online(shop) == SEEN


def test_offline_once_they_are_in_the_lake(shop: Project) -> None:
    shop.run()
    assert offline(shop, "arrived") == SEEN
    assert offline(shop, "known") == {m: (7.0, 1, 7.0, 7.0) if m < 25 else (8.0, 2, 7.0, 1.0) for m in SEEN}


def test_what_is_true_now_is_what_tables_see(shop: Project) -> None:
    shop.run()
    amounts = {row["payment"]: row["amount"] for row in shop.table("payments").to_pyarrow().to_pylist()}
    assert amounts == {"p1": 7.0, "p3": 1.0}
    assert [row["payment"] for row in shop.table("large").to_pyarrow().to_pylist()] == ["p1"]
    assert shop.query("select count(*) as n from payments").to_pylist() == [{"n": 2}]


FIX = payment("p1", 8, 1)
ODD: dict[str, tuple[list[dict[str, Any]], tuple[Any, ...]]] = {
    "a correction again": ([change(FIRST, RIGHT, 11)], (7.0, 1, 7.0, 7.0)),
    "a correction of what is not so any more": ([change(FIRST, FIX, 11)], (8.0, 1, 8.0, 8.0)),
    "a deletion of what is not so any more": ([change(FIRST, None, 11)], (None, 0, None, None)),
    "a deletion again": ([change(RIGHT, None, 11), change(RIGHT, None, 12)], (None, 0, None, None)),
    "a row again": ([change(None, RIGHT, 11)], (14.0, 2, 7.0, 7.0)),
    "two rows, deleted twice": (
        [change(None, RIGHT, 11), change(RIGHT, None, 12), change(RIGHT, None, 13)],
        (7.0, 1, 7.0, 7.0),
    ),
    "a deletion of what never was": ([change(payment("p9", 1, 3), None, 11)], (7.0, 1, 7.0, 7.0)),
}
"""Changes after the first of them, which bring back what is gone or take away what is not there; what is seen then."""


@pytest.mark.parametrize("log", [LOG[:3]], indirect=True)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("name", ODD)
def test_changes_sent_again_or_out_of_date(shop: Project, name: str, together: bool) -> None:
    more, seen = ODD[name]
    changes = [*more, change(OTHER, None, 20)]
    for batch in [changes] if together else [[each] for each in changes]:
        shop.ingest("payments", batch, backfill=True)
    assert online(shop)[21] == seen
    shop.run("payments spent last")
    assert offline(shop, "arrived")[21] == online(shop)[21] == seen


MOVED, LATER, THIRD = payment("p1", 10, 1, "c2"), payment("p1", 10, -90, "c1"), payment("p1", 10, 1, "c3")
MOVES: dict[str, tuple[list[dict[str, Any]], dict[str, int]]] = {
    "once": ([change(FIRST, MOVED, 3)], {"c2": 1}),
    "again": ([change(FIRST, MOVED, 3)] * 2, {"c2": 1}),
    "three times": ([change(FIRST, MOVED, 3)] * 3, {"c2": 1}),
    "on, and the first again": (
        [change(FIRST, MOVED, 3), change(MOVED, THIRD, 4), change(FIRST, MOVED, 5)],
        {"c2": 1},
    ),
    "on and back": ([change(FIRST, MOVED, 3), change(MOVED, FIRST, 4), change(FIRST, MOVED, 5)], {"c2": 1}),
    "in the wrong order": ([change(MOVED, THIRD, 3), change(FIRST, MOVED, 4), change(MOVED, THIRD, 5)], {"c3": 1}),
    "deleted under its old key": ([change(FIRST, MOVED, 3), change(FIRST, None, 4)], {}),
    "deleted twice": ([change(FIRST, MOVED, 3), change(MOVED, None, 4), change(FIRST, None, 5)], {}),
    "to another time, again": ([change(FIRST, LATER, 3)] * 2, {}),
    "to another time and back": ([change(FIRST, LATER, 3), change(LATER, FIRST, 4), change(FIRST, LATER, 5)], {}),
    "its first row again": ([change(FIRST, MOVED, 3), change(None, FIRST, 4), change(MOVED, None, 5)], {"c2": 1}),
}
"""Corrections of one payment's card or time, and by card how many payments are seen in the end."""


@pytest.mark.parametrize("log", [[change(None, FIRST, 1)]], indirect=True)
@pytest.mark.parametrize("batches", ["together", "one by one", "one by one, with runs"])
@pytest.mark.parametrize("name", MOVES)
def test_a_correction_that_moves_an_event_counts_once(shop: Project, name: str, batches: str) -> None:
    changes, seen = MOVES[name]
    for batch in [changes] if batches == "together" else [[each] for each in changes]:
        shop.ingest("payments", batch, backfill=True)
        if batches.endswith("runs"):
            shop.run("payments spent last")
    cards, at = ["c1", "c2", "c3"], NOON + timedelta(minutes=30)
    live = [row["count_1h"] for row in shop.online("spent").get([{"card": card} for card in cards], time=at)]
    shop.run("payments spent last")
    context = shop.reading("rebuild")
    examples = ibis.memtable({"card": cards, "t": [at] * 3}, schema={"card": "string", "t": INSTANT})
    query = join(examples, "t", [Lookup(compiled(shop.graph, "spent"), ("card",), "spent")]).order_by("card")
    with context.session(leaves(query) & shop.release.tables.keys()) as session:
        offline = [row["spent__count_1h"] for row in session.fetch(query).to_pylist()]
    assert live == offline == [seen.get(card, 0) for card in cards]


@pytest.mark.parametrize("drained", [True, False])
def test_a_state_built_from_the_lake_and_the_log_is_the_same(shop: Project, drained: bool) -> None:
    if drained:
        shop.run()
    with shop.adapters.store.transaction() as writer:
        for view, fingerprint in shop.release.online.items():
            writer.clear(f"view/{view}/{fingerprint}")
    context = shop.reading("rebuild")
    for view in ("spent", "last"):
        shop.adapters.executors(lambda rules: shop.graph)["materialise"](Step("materialise", view, "test"), context)
    assert online(shop) == SEEN


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (payment("p1", 1, 1), "unknown field 'payment' in a change"),
        ({"before": None, "after": None}, "neither `before` nor `after`"),
        ({"after": {"payment": "p1"}}, "the field 'card' is missing"),
        ({"after": FIRST, "at": "noon"}, "`at` is not an instant"),
    ],
)
def test_what_is_no_change_is_refused_whole(shop: Project, sent: Any, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        shop.ingest("payments", [change(None, payment("p9", 1, 3), 3), sent])
    assert online(shop) == SEEN


def test_changes_need_a_key() -> None:
    with pytest.raises(DefinitionError, match="`changes=True` requires `key=`"):
        ms.stream("payments", schema=SCHEMA, time="at", changes=True)


def test_rows_that_no_view_has_any_more_are_forgotten() -> None:
    payments = ms.stream("payments", schema=SCHEMA, time="at", key="payment", changes=True)
    spent = ms.feature_view(payments, key="card", windows=["1h"], grace="10min", total=_.amount.sum())
    recent = {**FIRST, "at": datetime.now(UTC).isoformat(), "payment": "p2"}
    with project_of({"payments": payments, "spent": spent}, data={}) as made:
        made.run()
        made.ingest("payments", [change(None, FIRST, 1), change(None, recent, 1)], backfill=True)
        store = made.adapters.store
        with store.transaction() as writer:
            writer.delete("standing/payments", b"")  # the last sweep, just now
        made.run()
        left = [decode(raw)["row"]["payment"] for page in store.scan("standing/payments") for key, raw in page if key]
    assert left == ["p2"]
