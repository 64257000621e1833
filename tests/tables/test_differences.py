"""Two snapshots of a table differ as Python says they do: by key, or as multisets."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.nodes.differences import TableDifference
from mainstem.ports import Field, Scan
from mainstem.tables.differences import SHOWN, compare

TYPES = {"id": "int64", "x": "float64", "t": "string"}
VALUES = st.tuples(st.sampled_from([None, 0.0, 1.5, math.nan]), st.sampled_from([None, "a", "b"]))
KEYED = st.dictionaries(st.integers(0, 9), VALUES, max_size=8)
LOOSE = st.lists(
    st.tuples(st.integers(0, 2), *([st.sampled_from([None, 1.5]), st.sampled_from([None, "a"])])), max_size=8
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("differences")


def stored(place: Path, name: str, rows: list[tuple[Any, ...]], types: dict[str, str] = TYPES) -> Scan:
    """A Parquet file with field ids, as the lake has them."""
    kinds = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    fields = tuple(Field(number, n, t) for number, (n, t) in enumerate(types.items(), 1))
    schema = pa.schema([pa.field(f.name, kinds[f.type], metadata={"PARQUET:field_id": str(f.id)}) for f in fields])
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in fields]
    path = place / f"{name}.parquet"
    pq.write_table(pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema), path)
    return Scan((str(path),), fields, len(rows))


def found(place: Path, old: list[Any], new: list[Any], *key: str, types: dict[str, str] = TYPES) -> TableDifference:
    return compare(DuckdbEngine(), "t", stored(place, "old", old), stored(place, "new", new, types), key)


def same(one: Any, other: Any) -> bool:
    return one == other or (one is not None and other is not None and one != one and other != other)


@settings(max_examples=40, deadline=None)
@given(old=KEYED, new=KEYED)
def test_rows_with_a_key(place: Path, old: dict[int, Any], new: dict[int, Any]) -> None:
    difference = found(place, [(k, *v) for k, v in old.items()], [(k, *v) for k, v in new.items()], "id")
    both = old.keys() & new.keys()
    columns = {name: sum(not same(old[k][i], new[k][i]) for k in both) for i, name in enumerate(("x", "t"))}
    changed = sorted(k for k in both if not all(map(same, old[k], new[k])))
    assert (difference.added, difference.removed) == (len(new.keys() - both), len(old.keys() - both))
    assert difference.changed == len(changed) and difference.columns == {n: c for n, c in columns.items() if c}
    shown = [example.key["id"] for example in difference.examples.get("changed", ())]
    assert shown == changed[:SHOWN] and difference.key == ("id",)
    assert (difference.state == "equal") == (difference.examples == {})


@settings(max_examples=40, deadline=None)
@given(old=LOOSE, new=LOOSE)
def test_rows_without_a_key_are_counted(place: Path, old: list[Any], new: list[Any]) -> None:
    difference = found(place, old, new)
    assert difference.added == sum((Counter(new) - Counter(old)).values())
    assert difference.removed == sum((Counter(old) - Counter(new)).values())
    assert difference.changed == 0 and difference.key == ()


def test_a_key_that_is_not_unique_is_not_used(place: Path) -> None:
    difference = found(place, [(1, 1.5, "a")], [(1, 1.5, "a"), (1, 1.5, "a")], "id")
    assert (difference.added, difference.removed, difference.key) == (1, 0, ())
    assert difference.note == "the key id is not unique in after"


def test_a_missing_key_is_a_key(place: Path) -> None:
    difference = found(place, [(None, 1.5, "a")], [(None, 2.5, "a")], "id")
    assert (difference.added, difference.removed, difference.changed) == (0, 0, 1)


def test_columns_that_came_went_or_changed_their_type(place: Path) -> None:
    wide = {"id": "int64", "x": "string", "u": "string"}
    difference = found(place, [(1, 1.5, "a")], [(1, "1.5", "a")], "id", types=wide)
    assert (difference.state, difference.changed) == ("differs", 0)
    assert (difference.new, difference.gone) == (("u",), ("t",))
    assert difference.retyped == {"x": ("float64", "string")}
