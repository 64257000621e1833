"""Joins of texts that are alike, against a plain Python oracle."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, RunFailed, SchemaError, UnknownName
from mainstem.nodes.joins import collecting
from mainstem.tables.join_checks import measure

LEFT, RIGHT = {"id": "int64", "name": "string", "land": "string"}, {"firm": "string", "country": "string"}


def distance(a: bytes, b: bytes) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


def alike(one: str, other: str) -> float | None:
    a, b = one.lower().encode(), other.lower().encode()
    return 1 - distance(a, b) / max(len(a), len(b)) if a or b else None


def oracle(name: str | None, land: str | None, firms: set[tuple[str, str]], least: float) -> tuple[Any, Any]:
    if name is None or land is None:
        return None, None
    scored = [(score, firm) for firm, country in firms if country == land and (score := alike(name, firm)) is not None]
    best = sorted(((-score, firm) for score, firm in scored if score >= least - 1e-12))
    return (best[0][1], -best[0][0]) if best else (None, None)


NAMES = st.sampled_from(["Acme", "acme", "ACME Corp", "acme corp.", "Ácme", "Bolt", "bolt ag", "", None])
LANDS = st.sampled_from(["PT", "ES", None])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(NAMES, LANDS), max_size=6), st.lists(st.tuples(NAMES, LANDS), max_size=6, unique=True))
def test_the_best_match_is_that_of_an_oracle(left: list[Any], right: list[Any]) -> None:
    ours = [{"id": n, "name": name, "land": land} for n, (name, land) in enumerate(left)]
    theirs = [{"firm": firm, "country": country} for firm, country in right]
    relations = {
        "l": pa.Table.from_pylist(ours, schema=ibis.schema(LEFT).to_pyarrow()),
        "r": pa.Table.from_pylist(theirs, schema=ibis.schema(RIGHT).to_pyarrow()),
    }
    on = ms.similar("name", "firm", at_least=0.5, block={"land": "country"}, score="alike")
    with collecting() as joins:
        joined = ms.join(ibis.table(LEFT, name="l"), ibis.table(RIGHT, name="r"), on, expect="many_to_one")
    with DuckdbEngine().session(relations) as session:
        rows = session.fetch(joined).to_pylist()
        *_, coverage = measure(session, joins[0])
        (pairs,) = session.fetch(joins[0].compared).to_pylist()
    firms = {(firm, country) for firm, country in right if firm is not None and country is not None}
    expected = {n: oracle(name, land, firms, 0.5) for n, (name, land) in enumerate(left)}
    assert len(rows) == len(left)
    for row in rows:
        firm, score = expected[row["id"]]
        assert row["firm"] == firm
        assert row["alike"] == (None if score is None else pytest.approx(score))
    matched = sum(firm is not None for firm, _ in expected.values())
    assert coverage.share == (matched / len(left) if left else None)
    texts = {(name, land) for name, land in left if name is not None and land is not None}
    assert (pairs["pairs"] or 0) == sum(land == country for _, land in texts for _, country in firms)


def test_a_join_without_blocks_compares_all_texts() -> None:
    left, right = (
        ibis.memtable(pa.table({"a": ["Jon", "Mary", None]})),
        ibis.memtable(pa.table({"a": ["john", "marie", "zoe"], "n": [1, 2, 3]})),
    )
    joined = ms.join(left, right, ms.similar("a", at_least=0.6), "inner")
    assert joined.columns == ("a", "a_right", "n")
    with DuckdbEngine().session({}) as session:
        found = {row["a"]: row["n"] for row in session.fetch(joined).to_pylist()}
    assert found == {"Jon": 1, "Mary": 2}


def test_more_pairs_than_allowed_fail_the_run() -> None:
    people = [{"name": f"person {n}"} for n in range(40)]
    nodes = {
        "a": ms.files("a.parquet", schema={"name": "string"}),
        "b": ms.files("b.parquet", schema={"name": "string"}),
        "both": ms.table(lambda a, b: ms.join(a, b, ms.similar("name", most_pairs=1_599)), name="both"),
    }
    with ms.testing.project(nodes, {"a": people, "b": people}) as project, pytest.raises(RunFailed) as failed:
        project.run()
    (cause,) = failed.value.causes
    assert cause.what == "both: a join by similarity would compare 1,600 pairs of texts"
    assert cause.expected == "at most 1,599" and "block=" in str(cause.hint)


L, R = ibis.table(LEFT, name="l"), ibis.table(RIGHT, name="r")


@pytest.mark.parametrize(
    ("on", "how", "error", "what"),
    [
        (ms.similar("nam", "firm"), "left", UnknownName, "unknown column 'nam'"),
        (ms.similar("name", "firn"), "left", UnknownName, "unknown column 'firn'"),
        (ms.similar("name", "firm", block="land"), "left", UnknownName, "unknown column 'land'"),
        (ms.similar("name", "firm"), "outer", DefinitionError, "a join by similarity has no such `how`"),
        (ms.similar("id", "id"), "left", SchemaError, "'id' is not a text"),
    ],
)
def test_what_is_no_join_by_similarity(on: Any, how: Any, error: type[DefinitionError], what: str) -> None:
    right = L if on.left == "id" else R
    with pytest.raises(error) as refused:
        ms.join(L, right, on, how)
    assert refused.value.what == what
