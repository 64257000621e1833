"""Units, pseudonyms, masks and near duplicates on DuckDB against plain Python oracles."""

from __future__ import annotations

import hashlib
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.errors import DefinitionError, SettingsError, UnknownName
from mainstem.nodes.verbs import Verb
from mainstem.nodes.verbs.units import UNITS
from mainstem.tables.corrections import transformed


def applied(verb: Verb, **columns: Any) -> list[dict[str, Any]]:
    n = len(next(iter(columns.values())))
    table = ibis.memtable(pa.table({"n": list(range(n)), **columns}))
    found: list[dict[str, Any]] = transformed(table, verb).order_by("n").to_pyarrow().to_pylist()
    return found


PAIRS = st.sampled_from([(a, b) for a in UNITS for b in UNITS if UNITS[a].dimension == UNITS[b].dimension])


@given(st.lists(st.floats(-1e4, 1e4) | st.none(), min_size=1, max_size=5), PAIRS)
@settings(deadline=None, max_examples=60)
def test_units_convert_there_and_back(values: list[Any], pair: tuple[str, str]) -> None:
    one, other = pair
    x = pa.array(values, pa.float64())
    there = [row["x"] for row in applied(ms.clean.convert("x", other, one), x=x)]
    a, b = UNITS[one], UNITS[other]
    wanted = [None if v is None else (v * a.factor + a.offset - b.offset) / b.factor for v in values]
    assert [None if w is None else pytest.approx(w, rel=1e-9, abs=1e-6) for w in wanted] == there
    back = [row["x"] for row in applied(ms.clean.convert("x", one, other), x=pa.array(there, pa.float64()))]
    assert [None if v is None else pytest.approx(v, rel=1e-6, abs=1e-3) for v in values] == back


@pytest.mark.parametrize(
    ("value", "one", "other", "wanted"),
    [(212, "F", "C", 100), (0, "C", "K", 273.15), (1, "mi", "km", 1.609344), (60, "mph", "km/h", 96.56064)],
)
def test_units_of_known_values(value: float, one: str, other: str, wanted: float) -> None:
    assert applied(ms.clean.convert("x", other, one), x=[float(value)])[0]["x"] == pytest.approx(wanted)


def test_units_of_a_column() -> None:
    rows = applied(
        ms.clean.convert("x", "kg", unit_column="u"), x=[2.0, 500.0, 1.0, None, 3.0], u=["kg", " g", "m", "g", None]
    )
    assert [row["x"] for row in rows] == [2.0, 0.5, None, None, None]
    assert [row["u"] for row in rows] == ["kg", "kg", "m", "g", None]


def test_units_in_a_text() -> None:
    rows = applied(ms.clean.convert("x", "kg"), x=["12.5 kg", "500g", " 1e3 mg ", "2 m", "3", "kg", None])
    assert [row["x"] for row in rows] == [12.5, 0.5, pytest.approx(0.001), None, None, None, None]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: ms.clean.convert("x", "kgs"), UnknownName),
        (lambda: ms.clean.convert("x", "kg", "m"), DefinitionError),
        (lambda: ms.clean.convert("x", "kg", "g", "u"), DefinitionError),
        (lambda: ms.clean.convert("x", "kg", unit_column="x"), DefinitionError),
        (lambda: ms.clean.hash("x", "pepper"), DefinitionError),
        (lambda: ms.clean.mask("x", -1), DefinitionError),
        (lambda: ms.clean.match("x", "a.csv", ()), DefinitionError),
        (lambda: ms.clean.match("x", "a.csv", "b", 2.0), DefinitionError),
        (lambda: ms.clean.near_duplicates("x", (), "at"), DefinitionError),
        (lambda: ms.clean.near_duplicates("x", "x", "at"), DefinitionError),
    ],
)
def test_what_means_nothing_is_refused(make: Any, error: Any) -> None:
    with pytest.raises(error):
        make()


# ── personal data ─────────────────────────────────────────────────────────────────────────────────────

TEXTS = st.lists(st.text("abé@ 1", max_size=6) | st.none(), min_size=1, max_size=6)


@given(TEXTS)
@settings(deadline=None, max_examples=30)
def test_a_hash_is_salted(values: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_SALT", "long enough a salt")
        verb = ms.clean.hash("x", "${env:TEST_SALT}").ready()
    shown = [row["x"] for row in applied(verb, x=pa.array(values, pa.string()))]
    salted = [None if v is None else hashlib.sha256(("long enough a salt" + v).encode()).hexdigest() for v in values]
    assert shown == salted


@given(TEXTS, st.integers(0, 4))
@settings(deadline=None, max_examples=40)
def test_a_mask_hides_all_but_the_end(values: list[Any], kept: int) -> None:
    def of(text: str) -> str:
        return "*" * len(text) if len(text) <= kept else "*" * (len(text) - kept) + text[len(text) - kept :]

    shown = [row["x"] for row in applied(ms.clean.mask("x", kept), x=pa.array(values, pa.string()))]
    assert shown == [None if v is None else of(v) for v in values]


def test_a_salt_is_set_and_long(monkeypatch: pytest.MonkeyPatch) -> None:
    verb = ms.clean.hash("x", "${env:TEST_SALT}")
    monkeypatch.delenv("TEST_SALT", raising=False)
    with pytest.raises(SettingsError, match="TEST_SALT"):
        verb.ready()
    monkeypatch.setenv("TEST_SALT", "short")
    with pytest.raises(SettingsError, match="too short"):
        verb.ready()
    with pytest.raises(DefinitionError, match="cannot be piped: its salt is read by a run"):
        verb(ibis.table({"x": "string"}, name="t"))


# ── near duplicates ───────────────────────────────────────────────────────────────────────────────────


def distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (c != d))
    return row[-1]


@given(
    st.lists(
        st.tuples(st.text("ab", min_size=0, max_size=6) | st.none(), st.sampled_from(["p", "q", None])),
        min_size=1,
        max_size=10,
    ),
    st.sampled_from([0.5, 0.75, 1.0]),
)
@settings(deadline=None, max_examples=60)
def test_near_duplicates(rows: list[tuple[Any, Any]], least: float) -> None:
    def alike(a: Any, b: Any) -> bool:
        if None in (*a, *b) or a[1] != b[1]:
            return False
        return distance(a[0], b[0]) <= max(len(a[0]), len(b[0])) * (1 - least) + 1e-9

    wanted = [n for n, row in enumerate(rows) if not any(alike(row, other) for other in rows[:n])]
    verb = ms.clean.near_duplicates("x", "g", "n", similarity=least)
    texts, blocks = (pa.array([row[n] for row in rows], pa.string()) for n in (0, 1))
    shown = applied(verb, x=texts, g=blocks)
    assert [row["n"] for row in shown] == wanted and set(shown[0] if shown else ()) <= {"n", "x", "g"}
