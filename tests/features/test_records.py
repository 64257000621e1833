"""The records of a view's state: in whatever batches events come, reads are those of all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis import _

from mainstem.errors import StorageError
from mainstem.features.online import records, summaries
from mainstem.features.online import view as view_module
from mainstem.features.online.arrivals import arrivals
from mainstem.features.online.expiry import expire
from mainstem.features.online.packing import encode_key
from mainstem.features.online.presence import gone
from mainstem.features.online.records import parts_of
from mainstem.features.online.view import META, OnlineView, encode_meta
from mainstem.features.views.view import CompiledView
from mainstem.nodes.instants import micros_of
from mainstem.stores.lmdb import LmdbStore
from mainstem.testing.contracts.features import HISTORIES
from mainstem.testing.features import Event, Query, example_view, same, scaled
from mainstem.testing.histories import MINUTE, Case, History, event, histories
from mainstem.testing.interpreters import columns_of, logged, take
from mainstem.testing.views import VIEWS

FRESH = count()
LONG = st.sampled_from([60, 300, records.LONG])
"""From how many bytes on a record is long: a row or two, some rows, or as many as it is."""

RULES = ["sums", "lists", "shortlists", "exact", "ordered", "changes", "changes_latest", "latest", "ttl"]
"""Views of what adds up, with texts, with an order, with events taken back, and with rows that later ones supersede."""

FORGETFUL: dict[str, dict[str, Any]] = {
    "windowed": {"windows": ["2min"], "n": _.count(), "last": _.text.last()},
    "changes": {"changes": True, "windows": ["2min"], "n": _.count(), "most": _.number.max()},
    "latest": {"columns": ["number", "text"]},
    "ttl": {"columns": ["number", "text"], "ttl": "2min"},
    "changes_ttl": {"changes": True, "columns": ["number", "text"], "ttl": "2min"},
    "changes_latest": {"changes": True, "columns": ["number", "text"]},
}

thorough = settings(deadline=None, max_examples=HISTORIES, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LmdbStore]:
    found = LmdbStore(tmp_path_factory.mktemp("online"), sync=False)
    yield found
    found.close()


@lru_cache
def rule(name: str) -> CompiledView:
    return VIEWS[name]()


@lru_cache
def forgetful(name: str) -> CompiledView:
    return example_view(grace="3min", **FORGETFUL[name])


def fresh(view: CompiledView, store: LmdbStore) -> OnlineView:
    return OnlineView(view, store, f"{view.fingerprint}.{next(FRESH)}")


# ── what is delivered, and what is known then ─────────────────────────────────────────────────────────


@st.composite
def batches(draw: st.DrawFn, log: list[Event], *, again: bool = True) -> list[list[Event]]:
    """A log in batches: out of order, some events again; what takes one back comes somewhere after it."""
    first: dict[tuple[Any, Any], int] = {}
    places: list[tuple[int, int]] = []
    for number, entry in enumerate(log):
        at, who = draw(st.integers(0, len(log))), (entry["who"], entry["at"])
        if entry.get("_deleted"):
            places.append((max(at, first[who] + 1), number))
            continue
        first[who] = at
        places += [(at, number)]
        if again and entry["_seq"] is not None and draw(st.integers(0, 3)) == 0:
            places.append((at + draw(st.integers(0, 9)), number))
    ordered = [log[number] for _, number in sorted(places)]
    cuts = draw(st.lists(st.integers(0, len(ordered)), max_size=8))
    return [ordered[a:b] for a, b in pairwise(sorted({0, *cuts, len(ordered)}))]


def delivered(log: Sequence[Event]) -> list[Event]:
    """What is known after a log: each event once, and whether it was taken back."""
    gone = {(entry["who"], entry["at"]) for entry in log if entry.get("_deleted")}
    once = {id(entry): entry for entry in log if not entry.get("_deleted")}.values()
    return [e | {"_gone": e.get("_gone") if (e["who"], e["at"]) in gone else None} for e in once]


def unlike(state: OnlineView, log: Sequence[Event], queries: Sequence[Query]) -> list[Any]:
    """The queries that are answered otherwise than by the oracle."""
    found = state.read([key for key, _ in queries], [t for _, t in queries])
    wanted = scaled(state.view, delivered(log), queries)
    return [
        (query, name, reading.values[name], value)
        for query, reading, each in zip(queries, found, wanted, strict=True)
        for name, (value, scale) in each.items()
        if not same(reading.values[name], value, scale)
    ]


def held(state: OnlineView, log: Sequence[Event]) -> dict[bytes, bytes]:
    """The records of a state by address, parts among them, each as it should be."""
    came = arrivals(state.view, columns_of(log))
    heads = state.state.batch(came).addresses
    found = {a: raw for a in {META, *came.keys, *heads} if (raw := state.store.read(state.space, [a])[0]) is not None}
    for address in heads:
        if address not in found:
            continue
        parts = parts_of(found[address])
        bodies = {address + part.name: state.store.read(state.space, [address + part.name])[0] for part in parts}
        assert [blake2b(body or b"", digest_size=16).digest() for body in bodies.values()] == [p.name for p in parts]
        times = [state.state.layout.unpack(raw or b"")["_u"].tolist() for raw in (*bodies.values(), found[address])]
        assert all(times) and all(time == sorted(time) for time in times)
        assert [part.start for part in parts] == [time[0] for time in times[:-1]]
        divided = state.view.sequenced and state.view.order is None and not state.view.retracts
        apart = (a[-1] < b[0] or (divided and a[0] == a[-1] == b[0]) for a, b in pairwise(times))
        assert all(apart), "events of one time are in one part, or in some that have no others before them"
        found |= {name: body for name, body in bodies.items() if body is not None}
    return found


@pytest.mark.parametrize("name", RULES)
@thorough
@given(data=st.data(), history=histories(), long=LONG)
def test_batch_by_batch_is_as_all_at_once(name: str, store: LmdbStore, data: Any, history: History, long: int) -> None:
    """With events that are late, come again, or are taken back, and reads in between."""
    case = Case.of(rule(name), [history])
    state, log = fresh(case.view, store), list[Event]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "LONG", long)
        for batch in data.draw(batches(logged(case.view, case.events))):
            take([state], batch)
            log += batch
            assert not unlike(state, log, case.queries)
    assert store.count(state.space) == len(held(state, log)), "no part outlives what named it"


@pytest.mark.parametrize("name", FORGETFUL)
@thorough
@given(data=st.data(), history=histories(), long=LONG)
def test_what_is_answered_is_right_though_much_is_forgotten(
    name: str, store: LmdbStore, data: Any, history: History, long: int
) -> None:
    """From the grace before the newest event on every read is answered; before, it is right or refused."""
    case = Case.of(forgetful(name), [history])
    state, log = fresh(case.view, store), list[Event]()
    again = (
        not case.view.retracts
    )  # an event that was taken back and forgotten would be new; offsets do not let it come
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "LONG", long)
        for batch in data.draw(batches(logged(case.view, case.events), again=again)):
            take([state], batch)
            log += batch
            if data.draw(st.booleans()):
                expire(state)
            begin = state.meta().complete_from
            assert begin <= state.meta().watermark - state.view.grace
            assert not unlike(state, log, [(key, t) for key, t in case.queries if t >= begin])
    assert store.count(state.space) == len(held(state, log)), "no part outlives what named it"


# ── how much is kept, and written ─────────────────────────────────────────────────────────────────────


def row(at: int, seq: int, **columns: Any) -> dict[str, Any]:
    return event(at, seq, number=float(seq), text="x", **columns)


@pytest.mark.parametrize("name", ["windowed", "latest", "ttl"])
def test_of_a_key_that_goes_on_and_on_a_bounded_number_of_events_is_kept(name: str, store: LmdbStore) -> None:
    state = fresh(forgetful(name), store)
    sizes = []
    for n in range(400):
        take([state], [row(n * MINUTE // 4, n)])
        expire(state)
        raws = held(state, [row(n * MINUTE // 4 - ago * MINUTE, n) for ago in range(9)])
        sizes.append(sum(map(len, raws.values())))
    assert max(sizes[200:]) < 1.1 * max(sizes[:200]), "of 3 minutes, not of all 100"
    assert store.count(state.space) <= 5


@pytest.mark.parametrize("name", ["windowed", "changes", "ttl", "changes_ttl"])
def test_keys_that_are_heard_of_no_more_are_forgotten(name: str, store: LmdbStore, monkeypatch: Any) -> None:
    """With their parts, and no sooner than no query can see them."""
    monkeypatch.setattr(records, "LONG", 300)
    state, log = fresh(forgetful(name), store), [row(n * 1_000_000, n, who="old") for n in range(60)]
    take([state], log)

    def old() -> int:
        return sum(encode_key(("old",)) in address for page in store.scan(state.space) for address, _ in page)

    assert old() > 5 and expire(state) == 0, "of a state with parts nothing has expired yet"
    seen, begin = [old()], state.meta().complete_from
    for n in range(1, 13):
        newer = [row(n * MINUTE, 60 + 2 * n, who="new"), row(n * MINUTE, 61 + 2 * n, who="other")]
        take([state], newer)
        log += newer
        expired, before, begin = expire(state), begin, state.meta().complete_from
        seen.append(old())
        asked = [(("old",), begin + n * MINUTE // 2) for n in range(12)] + [(("new",), begin + MINUTE)]
        assert not unlike(state, log, [(key, max(t, 0)) for key, t in asked])
        reached = state.meta().watermark - state.view.grace
        assert begin in (reached, reached - MINUTE) or (begin == before and not expired)
    assert seen[5] == seen[0] and seen[12] == 0, "after a minute, the grace and the window, and what a block is longer"
    assert state.read([("old",)], n * MINUTE)[0].missing and not state.read([("new",)], n * MINUTE + 1)[0].missing


FAR = micros_of(datetime(2999, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", FORGETFUL)
def test_an_event_dated_far_ahead_expires_no_other_keys_events(name: str, store: LmdbStore) -> None:
    state, log = fresh(forgetful(name), store), list[Event]()
    for n in range(12):
        batch = [row(n * MINUTE, 3 * n + i, who=who) for i, who in enumerate(("a", "b", "c"))]
        if n == 5:
            batch.append(row(FAR, 99, who="a"))
        take([state], batch)
        log += batch
        expire(state)
        assert state.meta().watermark == n * MINUTE
    asked = [((who,), t * MINUTE // 2) for who in "abc" for t in range(2 * 9, 2 * 12)]
    assert not unlike(state, log, asked)


@pytest.mark.parametrize("name", FORGETFUL)
def test_a_clock_that_was_wrong_once_expires_nothing_later(name: str, store: LmdbStore, monkeypatch: Any) -> None:
    now = micros_of(datetime.now(UTC))
    state, log = fresh(forgetful(name), store), list[Event]()
    for n in range(12):
        batch = [row(now - (12 - n) * MINUTE, 3 * n + i, who=who) for i, who in enumerate(("a", "b", "c"))]
        if n == 5:
            batch += [row(FAR, 98, who="x"), row(FAR + 1, 99, who="y")]
        with monkeypatch.context() as patch:
            if n == 5:
                patch.setattr(view_module, "now", lambda: datetime(2999, 1, 2, tzinfo=UTC))
            take([state], batch)
        log += batch
    assert state.meta().watermark <= micros_of(datetime.now(UTC))
    expire(state)
    asked = [((who,), now - t * MINUTE // 2) for who in "abc" for t in range(3)]
    assert not unlike(state, log, asked)


def test_a_state_that_is_complete_only_from_the_future_on_is_built_anew(store: LmdbStore) -> None:
    state = fresh(forgetful("latest"), store)
    take([state], [row(0, 0)])
    for complete_from, expected in ((0, set()), (FAR, {state.view.name})):
        with store.transaction() as writer:
            meta = msgspec.structs.replace(state.meta(writer), ready=True, complete_from=complete_from)
            writer.put(state.space, META, encode_meta(meta))
        assert gone({state.view.name: state.fingerprint}, {}, store) == expected


def test_a_latest_key_that_is_seldom_heard_of_has_few_rows(store: LmdbStore) -> None:
    """Other keys move the horizon meanwhile. A key that is alone keeps some more rows."""
    state, alone = fresh(forgetful("latest"), store), fresh(forgetful("latest"), store)
    for n in range(50):
        others = [row(n * 10 * MINUTE - ago, 1000 + n, who=who) for ago, who in enumerate(("b", "c"))]
        take([state], others)
        take([state], [row(n * 10 * MINUTE, n)])
        take([alone], [row(n * 10 * MINUTE, n)])
    for view, most in ((state, 2), (alone, records.FEW)):
        (raw,) = store.read(view.space, [encode_key(("a",))])
        assert raw is not None and len(view.state.layout.unpack(raw)) <= most


@pytest.mark.parametrize("view", [rule("sums"), rule("latest")], ids=["windowed", "latest"])
def test_what_is_written_for_one_hot_key_is_bounded(
    view: CompiledView, store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONG", 2_000)
    state, written = fresh(view, store), list[int]()
    for n in range(200):
        before = dict(held(state, [row(0, 0)]))
        take([state], [row(n * 1_000 + k, 20 * n + k) for k in range(20)])
        after = held(state, [row(0, 0)])
        written.append(sum(len(raw) for address, raw in after.items() if before.get(address) != raw))
    assert len(after) > 100 and max(written) < 12_000, "a directory and two parts, not 4,000 events"


@pytest.mark.parametrize("view", [rule("sums"), rule("latest")], ids=["windowed", "latest"])
def test_many_events_of_one_time_cost_as_much_as_events_of_different_times(
    view: CompiledView, store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONG", 2_000)
    written = dict[int, int]()
    for apart in (0, 1_000):
        state, before = fresh(view, store), dict[bytes, bytes]()
        written[apart] = 0
        for n in range(200):
            take([state], [row((20 * n + k) * apart, 20 * n + k) for k in range(20)])
            after = held(state, [row(0, 0)])
            written[apart] += sum(len(raw) for address, raw in after.items() if before.get(address) != raw)
            before = after
        assert len(after) > 100
    assert written[0] < 1.5 * written[1_000]


@pytest.mark.parametrize("texts", [False, True], ids=["by summaries", "event by event"])
def test_parts_of_one_time_are_all_in_a_window_that_begins_then(
    texts: bool, store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONG", 200)
    more = {"last": _.text.last()} if texts else {}
    state = fresh(example_view(grace="3min", windows=["2min"], n=_.count(), **more), store)
    take([state], [row(MINUTE, n) for n in range(100)])
    times = [MINUTE, MINUTE + 1, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE]
    found = [reading.values["n_2min"] for reading in state.read([("a",)] * len(times), times)]
    assert found == [0, 100, 100, 100, 0]


@pytest.mark.parametrize("name", RULES)
@settings(thorough, max_examples=max(HISTORIES, 25))
@given(data=st.data(), times=st.lists(st.sampled_from([0, 0, 0, 1_000_000]), min_size=8, max_size=40))
def test_events_of_one_time_come_late_and_again(name: str, store: LmdbStore, data: Any, times: list[int]) -> None:
    """Parts that begin at one time are read alike, and an event that is in one of them is not counted again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "LONG", 200)
        state = fresh(rule(name), store)
        log = [row(time, n) for n, time in enumerate(times)]
        came = data.draw(batches(log))
        for some in came:
            take([state], some)
            held(state, log)
        ends = [0, 1, 999_999, 1_000_000, 1_000_001, MINUTE]
        for window in state.view.windows:  # it begins at one of the times, or next to it
            ends += [time + more - window.start(0) for time in (0, 1_000_000) for more in (-1, 0, 1)]
        assert not unlike(state, [e for some in came for e in some], [(("a",), t) for t in ends])


@pytest.mark.parametrize(("name", "most"), [("sums", summaries.MOST), ("sums", 5), ("shortlists", summaries.MOST)])
def test_of_a_key_with_many_events_only_the_edges_of_windows_are_read_again(
    name: str, most: int, store: LmdbStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies between is remembered, as far as there is room; an event that comes late changes a part of it."""
    monkeypatch.setattr(records, "LONG", 300)
    monkeypatch.setattr(summaries, "MOST", most)
    state, log = fresh(rule(name), store), [row(n * 100_000, n) for n in range(1_100)]
    take([state], log)
    asked, read = list[int](), store.read_many
    monkeypatch.setattr(store, "read_many", lambda wanted: asked.append(sum(len(w[1]) for w in wanted)) or read(wanted))

    def parts_read(t: int) -> int:
        asked.clear()
        assert not unlike(state, log, [(("a",), t)])
        return sum(asked[1:])

    end = 110_000_000
    first, again, other = parts_read(end), parts_read(end), parts_read(end - 1_000_000)
    assert first > 200
    if most > 5:
        assert again < 10 and other < 10
        log.append(row(30_050_000, 5_000, _arrived=end))
        take([state], log[-1:])
        assert parts_read(end) < 20 and parts_read(end + 1) < 20


# ── readers and writers at once ───────────────────────────────────────────────────────────────────────


class Raced(LmdbStore):
    """A store in which something happens between two reads."""

    happens: Callable[[], None] = staticmethod(lambda: None)
    reads = 0

    def read_many(self, wanted: Any) -> Any:
        self.reads += 1
        found = super().read_many(wanted)
        if self.reads == 1:
            self.happens()
        return found


@pytest.fixture
def raced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OnlineView]:
    """A key in many parts; reads of it are counted from now on."""
    monkeypatch.setattr(records, "LONG", 300)
    store = Raced(tmp_path / "raced", sync=False)
    state = OnlineView(rule("sums"), store)
    take([state], [row(n * 1_000_000, n) for n in range(60)])
    store.reads = 0
    yield state
    store.close()


def rows_seen(state: OnlineView) -> Any:
    (reading,) = state.read([("a",)], 60 * 1_000_000)
    return reading.values["rows_2min"], state.store.reads  # type: ignore[attr-defined]


def test_a_reader_that_a_late_event_overtakes_begins_again(raced: OnlineView) -> None:
    raced.store.happens = lambda: take([raced], [row(3_500_000, 99)])  # type: ignore[attr-defined]
    assert rows_seen(raced) == (61, 4)
    assert rows_seen(raced) == (61, 6)


def test_a_reader_is_not_held_up_by_newer_events(raced: OnlineView) -> None:
    """It sees what was there when it began."""
    raced.store.happens = lambda: take([raced], [row(59_500_000 + n, 100 + n) for n in range(40)])  # type: ignore[attr-defined]
    assert rows_seen(raced) == (60, 2)
    assert rows_seen(raced) == (100, 4)


def test_records_that_are_gone_are_told(raced: OnlineView) -> None:
    (address,) = raced.state.batch(arrivals(raced.view, columns_of([row(0, 0)]))).addresses
    (raw,) = raced.store.read(raced.space, [address])
    with raced.store.transaction() as writer:
        writer.delete(raced.space, address + parts_of(raw or b"")[0].name)
    with pytest.raises(StorageError, match="are missing"):
        raced.read([("a",)], 60 * 1_000_000)
