"""Which columns seem to tell the same, from some of the rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from wide_project import counted

from mainstem.features.alike import CLOSEST, likely

ROWS = 400


def drawn(columns: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {f"c{n}": random.normal(size=ROWS) for n in range(columns)}


def test_numbers_that_correlate_are_likely_whatever_their_scale_and_sign() -> None:
    columns = drawn(3)
    noise = np.random.default_rng(2).normal(size=ROWS) * 0.01
    columns |= {"scaled": columns["c0"] * -1e-9 + 1e3, "near": columns["c1"] + noise}
    found = likely(pa.table({**columns, "constant": np.ones(ROWS)}), [*columns, "constant"])
    assert found == {"c0": ["scaled"], "c1": ["near"], "c2": [], "scaled": ["c0"], "near": ["c1"], "constant": []}


def test_rows_without_a_value_are_left_out_of_a_pair_only() -> None:
    whole = drawn(1)["c0"]
    one, other = whole.copy(), whole.copy()
    one[: ROWS // 2], other[ROWS // 2 + 20 :] = np.nan, np.nan
    other[:5] = np.inf
    table = pa.table({"one": one, "other": other, "whole": pa.array(whole), "empty": pa.nulls(ROWS, pa.float64())})
    assert likely(table, ["one", "empty"]) == {"one": ["other", "whole"], "empty": []}


def test_texts_are_likely_where_they_are_equal() -> None:
    texts = [f"t{n % 7}" for n in range(ROWS)]
    table = pa.table({"a": texts, "b": [None if n % 3 else text for n, text in enumerate(texts)], "c": texts[::-1]})
    assert likely(table, ["a", "b", "c"]) == {"a": ["b"], "b": ["a"], "c": []}


def test_of_many_copies_the_closest_are_named() -> None:
    base = drawn(1)["c0"]
    found = likely(pa.table({f"copy{n}": base for n in range(30)}), ["copy20"])
    assert found == {"copy20": [f"copy{n}" for n in range(CLOSEST)]}


def test_the_work_grows_with_the_columns() -> None:
    tables = [pa.table(drawn(count)) for count in (20, 100, 200)]
    _, narrow, wide = (counted(lambda table=table: likely(table, table.column_names))[0] for table in tables)
    assert wide <= 2.3 * narrow
