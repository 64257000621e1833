"""Histories of events with queries: named ones, and generated ones (Hypothesis).

An interpreter gets many at once, each with its own keys, because a query costs an engine more than its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mainstem.features.views.view import CompiledView
from mainstem.nodes.hidden import ARRIVED, GONE, SEQ
from mainstem.nodes.instants import micros_of
from mainstem.testing.features import SCHEMA, Event, Interpreter, Query, same, scaled

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

MINUTE = 60_000_000

SMALLEST = 1e-60
"""The smallest generated magnitude. Fourth powers of smaller numbers underflow."""


class History(NamedTuple):
    """Events in order of arrival, and queries: values of the columns `who` and `where`, and a time in µs."""

    events: list[dict[str, Any]]
    queries: list[tuple[dict[str, Any], int]]


class Case(NamedTuple):
    """Several histories for one view, each with its own keys, and the oracle's answer to every query."""

    view: CompiledView
    events: list[Event]
    queries: list[Query]
    wanted: list[dict[str, tuple[Any, float]]]

    @classmethod
    def of(cls, view: CompiledView, histories: Iterable[History], *, as_of: str = "arrived") -> Case:
        case = cls(view, [], [], [])
        for number, history in enumerate(histories):
            events, queries = _apart(history, number, view)
            events = _changed(events) if view.retracts else events
            case.events.extend(events)
            case.queries.extend(queries)
            if are_apart(view):
                case.wanted.extend(scaled(view, _asked_of(view, events, queries), queries, as_of=as_of))
        if not are_apart(view):
            case.wanted.extend(scaled(view, case.events, case.queries, as_of=as_of))
        return case

    @property
    def values(self) -> int:
        """Return the number of compared values."""
        return sum(map(len, self.wanted))

    def unlike(self, interpreter: Interpreter) -> list[str]:
        """Return the differences of an interpreter."""
        found = interpreter(self.view, self.events, self.queries)
        return [
            f"{query}: {name} is {actual[name]}, not {value}"
            for query, actual, wanted in zip(self.queries, found, self.wanted, strict=True)
            for name, (value, scale) in wanted.items()
            if not same(actual[name], value, scale)
        ]


def _asked_of(view: CompiledView, events: Sequence[Event], queries: Sequence[Query]) -> Sequence[Event]:
    """Return the events of the queried keys."""
    keys = {key for key, _ in queries}
    return events if view.chain else [e for e in events if tuple(e[column] for column in view.key) in keys]


def are_apart(view: CompiledView) -> bool:
    """Return whether no query of the view sees events of another history."""
    return "who" in view.key and all(are_apart(lookup.view) for lookup in (view.chain.lookups if view.chain else ()))


def _apart(history: History, number: int, view: CompiledView) -> tuple[list[Event], list[Query]]:
    """Return a history with unique keys."""
    events = [e | {"who": None if e["who"] is None else f"{number} {e['who']}"} for e in history.events]
    if not are_apart(view):
        events = [e | {SEQ: None if e[SEQ] is None else e[SEQ] + number * 1000} for e in events]
    asked = [({**key, "who": f"{number} {key['who']}"}, t) for key, t in history.queries]
    return list(events), [(tuple(key[column] for column in view.key), t) for key, t in asked]


def _changed(events: Sequence[Event]) -> list[Event]:
    """Return the events, half of them deleted: at once, or one or two minutes after they arrived."""
    times = Counter((e["who"], e["at"]) for e in events)
    changed: list[Event] = []
    for number, e in enumerate(events):
        arrived = e["at"] if e[ARRIVED] is None else e[ARRIVED]
        alone = arrived is not None and e[SEQ] is not None and times[e["who"], e["at"]] == 1
        changed.append({**e, GONE: arrived + number // 2 % 3 * MINUTE if alone and number % 2 else None})
    return changed


# ── named ones ────────────────────────────────────────────────────────────────────────────────────────


def event(at: int | None, seq: int | None = 0, **columns: Any) -> dict[str, Any]:
    """Return an event of the key `("a", 1)` that arrived when it happened."""
    return {**dict.fromkeys(SCHEMA), "who": "a", "where": 1, "at": at, SEQ: seq, ARRIVED: at, **columns}


def around(events: Iterable[Event], *more: int) -> History:
    """Return a history with queries at, before and after every event, and when windows leave it."""
    rows = [dict(e) for e in events]
    keys = {(e["who"], e["where"]): {"who": e["who"], "where": e["where"]} for e in rows if e["who"] is not None}
    edges = [m * MINUTE for m in (0, 2, 3, 4, 5, 6, 10, 12)]
    times = {e["at"] + edge + near for e in rows if e["at"] is not None for edge in edges for near in (-1, 0, 1)}
    asked = [(key, t) for key in keys.values() or [{"who": "a", "where": 1}] for t in sorted({*times, *more})]
    return History(rows, asked)


def _numbered(count: int, step: int, start: int = 0) -> list[dict[str, Any]]:
    texts, flags = ["x", "y", None, "é"], [True, None, False]
    return [
        event(start + n * step, n, number=n / 7, whole=n % 5, flag=flags[n % 3], text=texts[n % 4])
        for n in range(count)
    ]


def _instant(text: str) -> int:
    return micros_of(datetime.fromisoformat(text).replace(tzinfo=UTC))


NAMED: dict[str, History] = {
    "empty": around([], 0, MINUTE),
    "single event": around([event(0, number=1.5, whole=2, flag=True, text="x", turn=1)]),
    "nulls": around([event(0), event(1, 1, number=float("nan")), event(None, 2, whole=1), event(2, 3, who=None)]),
    "boundary": around(_numbered(6, 2 * MINUTE)),
    "same instant": around(_numbered(6, 0)),
    "tie": around([event(0, None, number=n, whole=int(n), text=t) for n, t in ((1.0, "b"), (3.0, "c"), (2.0, "a"))]),
    "equal values": around([event(n * MINUTE, n, number=1e9 + 0.1, whole=7, text="x") for n in range(4)]),
    "large values": around([event(n * MINUTE, n, number=1e9 + n % 2, whole=10**12 + n % 3) for n in range(5)]),
    "infinite": around([event(n * MINUTE, n, number=float(v)) for n, v in enumerate(["inf", "1", "inf", "-inf"])]),
    "out of order": around(reversed(_numbered(6, MINUTE))),
    "late": around([e | {ARRIVED: e["at"] + 3 * MINUTE} for e in _numbered(6, MINUTE)]),
    "no order of landing": around([e | {SEQ: None} for e in _numbered(6, MINUTE // 2)]),
    "composite keys": around([event(n, n, who=w, where=k, whole=n) for n, (w, k) in enumerate([("a", 11), ("a1", 1)])]),
    "unicode keys": around(
        [event(n, n, who=w, text=w) for n, w in enumerate(["é", "e\u0301", "東", "🛫", "", " ", "'"])]
    ),
    "far past": around(_numbered(3, MINUTE, _instant("0001-01-02T00:00:00"))),
    "far future": around(_numbered(3, MINUTE, _instant("9999-12-30T00:00:00"))),
    "before 1970": around(_numbered(4, 3 * MINUTE + 1, -7 * MINUTE)),
    "clocks go back": around(_numbered(5, 30 * MINUTE, _instant("2013-11-03T04:30:00"))),
    "clocks go forward": around(_numbered(5, 30 * MINUTE, _instant("2013-03-10T06:00:00"))),
    "many": around(_numbered(300, 3_000_000), 0)._replace(
        queries=[({"who": "a", "where": 1}, n * 37_000_000) for n in range(25)]
    ),
}
"""Cases that are often computed wrongly."""


def a_million() -> History:
    """Return a million events in two days: every hundredth of one key, the others of ten thousand. Some arrive late."""
    rows = _numbered(1_000_000, 172_800)
    for n, row in enumerate(rows):
        row["who"] = "a" if n % 100 == 0 else f"a{n * 7_919 % 10_000}"
        row[ARRIVED] += n % 97 * 1_000_000 if n % 5 == 0 else 0
    keys = ["a", "a1", "a9999", "b"]
    asked = [({"who": key, "where": 1}, 172_800 * n + n % 3 - 1) for n in range(0, 1_000_001, 40_000) for key in keys]
    return History(rows, asked)


# ── made-up ones ──────────────────────────────────────────────────────────────────────────────────────


def histories() -> SearchStrategy[History]:
    """Generate histories: a few keys, colliding instants, late events, nulls, ties, small and large values."""
    from hypothesis import strategies as st

    instants = st.one_of(
        st.integers(-20, 20).map(lambda minute: minute * MINUTE),
        st.integers(-20 * MINUTE, 20 * MINUTE),
        st.sampled_from([-1, 0, 1, MINUTE - 1, -MINUTE - 1]),
    )
    keys = st.fixed_dictionaries({"who": st.sampled_from(["a", "ab", "", "ü"]), "where": st.integers(0, 1)})
    columns = {
        "number": st.one_of(
            st.sampled_from([None, float("nan"), 0.0, -0.0]),
            st.integers(-3, 3).map(float),
            st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: x if abs(x) >= SMALLEST else 0.0),
            st.floats(1e9, 1e9 + 10),
        ),
        "whole": st.one_of(st.none(), st.integers(-4, 4)),
        "flag": st.sampled_from([None, True, False]),
        "text": st.sampled_from([None, "", "x", "y", "é", "東"]),
        "turn": st.sampled_from([None, -1, 0, 1]),
        SEQ: st.booleans(),
        ARRIVED: st.sampled_from([None, None, 0, 0, 1, MINUTE, 5 * MINUTE]),
    }
    events = st.tuples(keys, st.one_of(*[instants] * 12, st.none()), st.fixed_dictionaries(columns))

    def landed(seq: int, key: dict[str, Any], at: int | None, row: dict[str, Any]) -> dict[str, Any]:
        late = row[ARRIVED]
        arrived = None if at is None or late is None else at + late
        return {**key, "at": at, **row, SEQ: seq if row[SEQ] else None, ARRIVED: arrived}

    @st.composite
    def history(draw: st.DrawFn) -> History:
        count = draw(st.integers(0, 25))
        rows = [landed(seq, *draw(events)) for seq in range(count)]
        times = [t for row in rows for t in (row["at"], row[ARRIVED]) if t is not None]
        near = st.tuples(st.sampled_from(times or [0]), st.sampled_from([-1, 0, 1, MINUTE])).map(sum)
        return History(rows, draw(st.lists(st.tuples(keys, st.one_of(instants, near)), min_size=8, max_size=12)))

    return history()


def made_up(count: int) -> list[History]:
    """Return this many generated histories, the same each time."""
    from hypothesis import HealthCheck, Phase, given, settings

    found: list[History] = []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(histories())
    def collect(history: History) -> None:
        found.append(history)

    collect()
    return found
