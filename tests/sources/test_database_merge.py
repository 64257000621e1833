"""A source that is merged by key: what replaces, what is removed, what is read again, and what is counted."""

import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from ibis import _

from mainstem.errors import CheckFailed, DefinitionError, SourceError
from mainstem.nodes.checks import between
from mainstem.nodes.databases import database
from mainstem.nodes.spans import Span, second_of

URL = "sqlite:///shop.db"
INSTANT = "timestamp('UTC', 6)"


@pytest.fixture
def run(bench):
    def call(*statements):
        with closing(sqlite3.connect(bench.root / "shop.db")) as connection, connection:
            for sql, *parameters in statements:
                connection.execute(sql, parameters)

    call(["CREATE TABLE orders (id INTEGER, status TEXT, gone BOOLEAN, at TIMESTAMP)"])
    return call


def put(id, status, hour, gone=0):
    at = None if hour is None else f"2026-01-01 {hour:02}:00:00"
    return ["INSERT INTO orders VALUES (?, ?, ?, ?)", id, status, gone, at]


def at(hour):
    return f"2026-01-01 {hour:02}:00:00"


def update(id, status, hour, gone=0):
    return [
        "UPDATE orders SET status = ?, at = ?, gone = ? WHERE id = ?",
        status,
        f"2026-01-01 {hour:02}:00:00",
        gone,
        id,
    ]


def orders(**more):
    return database(URL, table="orders", key="id", **{"cursor": "at", "write": "merge", **more})


def found(bench, table="source"):
    return {row["id"]: row["status"] for row in bench.rows(table)}


def balanced(outcome):
    assert outcome.rows_in == outcome.published + outcome.quarantined
    return outcome


# ── by a cursor ───────────────────────────────────────────────────────────────────────────────────────


def test_a_row_replaces_that_of_its_key_and_others_stay(bench, run):
    run(put(1, "new", 1), put(2, "new", 2))
    node = orders(time="at")
    assert balanced(bench.collect(node)).rows_in == 2
    assert bench.collect(node).message == "nothing new"
    run(update(1, "paid", 3), put(3, "new", 3))
    outcome = balanced(bench.collect(node))
    assert (outcome.rows_in, outcome.message) == (2, "2 merged by id")
    assert found(bench) == {1: "paid", 2: "new", 3: "new"}
    assert [result.passed for result in outcome.checks if result.label == "unique(id)"] == [True]
    assert bench.collect(node).message == "nothing new"


def test_only_files_with_a_changed_row_are_written_again(bench, run):
    node = orders()
    for n in range(3):
        run(put(n, "new", n))
        bench.collect(node)
    before = bench.lake.scan(bench.tables["source"]).files
    run(update(2, "paid", 5))
    bench.collect(node)
    after = bench.lake.scan(bench.tables["source"]).files
    assert set(before[:2]) < set(after) and before[2] not in after


def test_a_mark_removes_the_row_of_its_key(bench, run):
    run(put(1, "new", 1), put(2, "new", 2), put(3, "never", 2, gone=1))
    node = orders(deleted="gone")
    assert balanced(bench.collect(node)).rows_in == 2
    run(update(1, "new", 3, gone=1), put(4, "new", 3))
    outcome = balanced(bench.collect(node))
    assert (outcome.rows_in, outcome.message) == (1, "1 merged by id, 1 removed")
    assert found(bench) == {2: "new", 4: "new"}
    run(update(1, "back", 4))
    bench.collect(node)
    assert found(bench) == {1: "back", 2: "new", 4: "new"}


def test_the_mark_is_a_condition_of_the_columns(bench, run):
    run(put(1, "new", 1), put(2, "cancelled", 2))
    bench.collect(orders(deleted=_.status == "cancelled"))
    assert found(bench) == {1: "new"}


def test_of_rows_with_one_key_the_latest_counts(bench, run):
    run(put(1, "paid", 2), put(1, "new", 1), put(2, "new", 1))
    bench.collect(orders())
    assert found(bench) == {1: "paid", 2: "new"}
    run(put(1, "sent", 4), put(1, "packed", 3))
    bench.collect(orders())
    assert found(bench) == {1: "sent", 2: "new"}


def test_unlike_rows_with_one_key_and_cursor_are_an_error(bench, run):
    run(put(1, "paid", 2), put(1, "new", 2))
    with pytest.raises(CheckFailed, match=r"unique\(id\)"):
        bench.collect(orders())


def test_rows_within_the_lag_are_read_again_and_never_twice(bench, run):
    run(put(1, "new", 10))
    node = orders(write=None, lag="2h")
    bench.collect(node)
    run(put(2, "late", 9), put(3, "too late", 7))
    assert balanced(bench.collect(node)).rows_in == 1
    assert found(bench) == {1: "new", 2: "late"}
    assert bench.collect(node).message == "nothing new"
    assert balanced(bench.collect(node, refresh=True)).published == 1, "only the row that was missed"
    assert found(bench) == {1: "new", 2: "late", 3: "too late"}


def test_a_lag_of_numbers(bench, run):
    run(put(10, "new", 1))
    node = orders(cursor="id", write=None, lag=5)
    bench.collect(node)
    run(put(6, "late", 1), put(4, "too late", 1))
    bench.collect(node)
    assert found(bench) == {6: "late", 10: "new"}


@pytest.mark.parametrize(("cursor", "lag"), [("at", 5), ("id", "1h"), ("status", "1h")])
def test_a_lag_that_does_not_fit_the_cursor(bench, run, cursor, lag):
    run(put(1, "new", 1))
    bench.collect(orders(cursor=cursor))
    with pytest.raises(SourceError, match="the lag does not fit the cursor"):
        bench.collect(orders(cursor=cursor, lag=lag))


def test_rows_without_a_cursor_are_told(bench, run):
    run(put(1, "new", 1), put(2, "new", None))
    merging, appending = orders(), database(URL, table="orders", cursor="at")
    assert bench.collect(merging).message == "1 row has no at, and is read again each time"
    run(put(3, "new", None))
    assert "2 rows have no at" in bench.collect(merging).message
    assert found(bench) == {1: "new", 2: "new", 3: "new"}
    bench.tables.clear()
    bench.collect(appending)
    run(put(4, "new", None))
    message = bench.collect(appending).message
    assert "3 rows have no at, and are not read again: mainstem run --full-refresh reads them" in message


# ── all rows ──────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_cursor_all_rows_are_compared(bench, run):
    run(put(1, "new", 1), put(2, "new", 2), put(3, "new", 3))
    node = orders(cursor=None)
    bench.collect(node)
    assert bench.collect(node).message == "nothing new"
    run(update(1, "paid", 4), ["DELETE FROM orders WHERE id = 2"])
    outcome = balanced(bench.collect(node))
    assert (outcome.rows_in, outcome.message) == (1, "1 merged by id, 1 removed")
    assert found(bench) == {1: "paid", 3: "new"}
    run(["DELETE FROM orders"])
    bench.collect(node)
    assert found(bench) == {}


def test_a_full_refresh_of_a_merge_removes_what_is_gone(bench, run):
    run(put(1, "new", 1), put(2, "new", 2))
    bench.collect(orders())
    run(["DELETE FROM orders WHERE id = 1"], ["UPDATE orders SET status = 'old' WHERE id = 2"])
    assert bench.collect(orders()).published == 1
    assert found(bench) == {1: "new", 2: "old"}
    outcome = balanced(bench.collect(orders(), refresh=True))
    assert (outcome.rows_in, outcome.message) == (0, "0 merged by id, 1 removed")
    assert found(bench) == {2: "old"}


def test_a_full_refresh_of_appended_rows_replaces_them(bench, run):
    node = database(URL, table="orders", cursor="at")
    run(put(1, "new", 1), put(2, "new", 2))
    bench.collect(node)
    run(["UPDATE orders SET status = 'old' WHERE id = 1"])
    assert bench.collect(node).message == "nothing new"
    assert bench.collect(node, refresh=True).rows_in == 2
    assert found(bench) == {1: "old", 2: "new"}
    assert bench.collect(node).message == "nothing new"


@pytest.mark.parametrize("write", [None, "merge"])
def test_a_span_is_read_again(bench, run, write):
    node = orders(write=write)
    run(*(put(n, "new", n) for n in range(1, 6)))
    bench.collect(node)
    run(["UPDATE orders SET status = 'old'"], ["DELETE FROM orders WHERE id IN (1, 3)"], put(9, "missed", 2))
    span = Span(*(second_of(datetime(2026, 1, 1, hour, tzinfo=UTC)) for hour in (2, 5)))
    outcome = balanced(bench.collect(node, between=span))
    assert (outcome.rows_in, outcome.message) == (3, "3 merged by id, 1 removed")
    assert found(bench) == {1: "new", 2: "old", 9: "missed", 4: "old", 5: "new"}
    last = Span(second_of(datetime(2026, 1, 1, 4, tzinfo=UTC)))
    bench.collect(node, between=last)
    assert found(bench) == {1: "new", 2: "old", 9: "missed", 4: "old", 5: "old"}
    assert bench.collect(node).message == "nothing new"


def test_a_span_of_an_appended_source_leaves_later_rows_of_its_keys(bench, run):
    node = orders(write=None)
    run(put(1, "new", 1), put(2, "new", 2))
    bench.collect(node)
    run(["DELETE FROM orders"], put(1, "paid", 8), put(2, "late", 2))
    bench.collect(node)
    span = Span(*(second_of(datetime(2026, 1, 1, hour, tzinfo=UTC)) for hour in (0, 5)))
    assert balanced(bench.collect(node, between=span)).message == "1 merged by id, 1 removed"
    assert sorted((row["id"], row["status"]) for row in bench.rows()) == [(1, "paid"), (2, "late")]


def test_a_span_beyond_the_cursor_leaves_no_row_out(bench, run):
    node = orders()
    run(put(1, "new", 1))
    bench.collect(node)
    run(put(2, "new", 2), put(5, "new", 5))
    bench.collect(node, between=Span(second_of(datetime(2026, 1, 1, 4, tzinfo=UTC))))
    assert found(bench) == {1: "new", 5: "new"}
    bench.collect(node)
    assert found(bench) == {1: "new", 2: "new", 5: "new"}


# ── what is set aside ─────────────────────────────────────────────────────────────────────────────────


def test_a_row_that_violates_a_check_is_set_aside_once(bench, run):
    node = orders(lag="5h", checks=[between("id", 1, 100, severity="quarantine")])
    run(put(1, "new", 1), put(200, "bad", 1))
    outcome = balanced(bench.collect(node))
    assert (outcome.published, outcome.quarantined) == (1, 1)
    run(put(2, "new", 2))
    outcome = balanced(bench.collect(node))
    assert (outcome.published, outcome.quarantined) == (1, 1)
    assert found(bench, "quarantine.source") == {200: "bad"}
    outcome = balanced(bench.collect(node))
    assert (outcome.published, outcome.quarantined) == (0, 1)
    assert found(bench, "quarantine.source") == {200: "bad"}


def test_a_row_that_was_corrected_leaves_the_quarantine(bench, run):
    node = orders(contract="quarantine")
    types = {"id": "int64", "status": "string", "gone": "boolean", "at": INSTANT}
    run(put(1, "new", 1), ["INSERT INTO orders VALUES (2, 'odd', 'maybe', '2026-01-01 01:00:00')"])
    outcome = balanced(bench.collect(node, types))
    assert (outcome.published, outcome.quarantined) == (1, 1)
    assert len(bench.rows("quarantine.source")) == 1
    run(update(2, "new", 3))
    outcome = balanced(bench.collect(node, types))
    assert (outcome.published, outcome.quarantined) == (1, 0)
    assert bench.rows("quarantine.source") == []
    assert found(bench) == {1: "new", 2: "new"}


def test_a_new_column_and_a_wider_type_keep_what_is_stored(bench, run):
    types = {"id": "int64", "status": "string", "gone": "boolean", "at": INSTANT}
    run(put(1, "new", 1), put(2, "new", 2))
    bench.collect(orders(), types)
    run(["ALTER TABLE orders ADD COLUMN amount INTEGER"], ["UPDATE orders SET amount = 5, at = ?", at(3)])
    assert "new column amount (int64)" in bench.collect(orders(), types).message
    run(["UPDATE orders SET amount = 1.5, at = ? WHERE id = 1", at(4)])
    outcome = balanced(bench.collect(orders(), types))
    assert "amount: int64 → float64" in outcome.message and "1 merged by id" in outcome.message
    assert [(row["id"], row["amount"]) for row in bench.rows()] == [(1, 1.5), (2, 5.0)]


# ── whatever happens ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_rows_are_those_of_the_database(bench, run, seed):
    chance = random.Random(seed)
    node = orders(deleted="gone", lag="2h") if seed else orders(cursor=None, deleted="gone")
    rows, hour = {}, 0
    for _step in range(6):
        hour = min(23, hour + chance.randint(0, 3))
        for _change in range(chance.randint(0, 4)):
            id, status, late = chance.randint(1, 8), f"s{chance.randint(0, 99)}", max(0, hour - chance.randint(0, 2))
            gone = int(chance.random() < 0.3)
            run(update(id, status, late, gone) if id in rows else put(id, status, late, gone))
            rows[id] = (status, gone)
        if seed == 0 and rows and chance.random() < 0.4:
            id = chance.choice(sorted(rows))
            del rows[id]
            run(["DELETE FROM orders WHERE id = ?", id])
        balanced(bench.collect(node, refresh=chance.random() < 0.2))
        assert found(bench) == {id: status for id, (status, gone) in rows.items() if not gone}


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"lag": "1h", "key": "id"}, "`lag` requires `cursor`"),
        ({"lag": "1h", "cursor": "at"}, "`lag` requires `key`"),
        ({"write": "merge"}, '`write="merge"` requires `key`'),
        ({"write": "replace", "key": "id"}, "`write` has an invalid value"),
        ({"deleted": "gone", "key": "id"}, "`deleted` requires a merge"),
        ({"lag": 0, "cursor": "id", "key": "id"}, "`lag` has an invalid value"),
        ({"lag": "0s", "cursor": "at", "key": "id"}, "`lag` must be positive"),
        ({"lagg": "1h"}, "database has no parameter 'lagg'"),
    ],
)
def test_a_declaration_that_cannot_be(given, what):
    with pytest.raises(DefinitionError) as error:
        database(URL, table="orders", **given)
    assert error.value.what == what
