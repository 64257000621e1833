"""What a description says of rows that are made to have it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.cli.render.descriptions import bars, remarks
from mainstem.errors import UnknownName
from mainstem.nodes.descriptions import Description
from mainstem.pages.description import page
from mainstem.project import describe as describing
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.statistics.correlations import correlations, cramers_v, ranks
from mainstem.statistics.describe import column
from mainstem.statistics.variants import is_one_edit_away, variants

ROWS = 300
TABLE = pa.table(
    {
        "id": [*range(ROWS - 1), 0],
        "x": [float(i) for i in range(ROWS - 2)] + [math.nan, None],
        "twice": [2.0 * i for i in range(ROWS)],
        "cube": [float(i) ** 9 for i in range(ROWS)],
        "far": [10] * (ROWS - 20) + list(range(5, 24)) + [10_000],
        "city": ["Berlin"] * (ROWS - 8) + ["berlin ", "BERLIN", "Hamburg", "Hambrug", "<b>", "<b>", "Ulm", None],
        "country": ["DE" if i % 3 else "FR" for i in range(ROWS)],
        "money": ["EUR" if i % 3 else "F" for i in range(ROWS)],
        "number": [f"{i}.000,50" for i in range(ROWS)],
        "day": [f"{i % 28 + 1:02d}.05.2025" for i in range(ROWS)],
        "list": [[i] for i in range(ROWS)],
    }
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    pq.write_table(TABLE, tmp_path / "raw.parquet")
    raw = ms.files("raw.parquet", known="always")
    copy = ms.table(
        lambda raw: raw,
        name="copy",
        key="id",
        checks=[ms.unique("id", severity="warn"), ms.accepted("city", ["Berlin"], severity="quarantine")],
    )
    settings = Settings(tmp_path, ProjectSettings("test", ()), Profile(), "default", Serve())
    with Project(settings, {"raw": raw, "copy": copy}) as made:
        made.run()
        yield made


def of(found: Description, name: str) -> Any:
    return next(each for each in found.columns if each.name == name)


def test_a_relation_of_few_rows_is_read_as_a_whole(project: Project) -> None:
    found = project.describe("raw")
    assert (found.rows, found.looked_at, found.exact, found.sampled) == (ROWS, ROWS, True, False)
    x, far, city = of(found, "x"), of(found, "far"), of(found, "city")
    assert (x.statistics.nulls, x.statistics.nans, x.statistics.low, x.statistics.high) == (1, 1, 0.0, ROWS - 3.0)
    assert sum(x.histogram.bins) == ROWS - 2
    assert x.outliers == 0
    assert far.outliers == sum(value != 10 for value in TABLE["far"].to_pylist())
    assert sum(far.histogram.bins) + far.histogram.below + far.histogram.above == ROWS
    assert {(group.kind, tuple(level.value for level in group.levels)) for group in city.variants} == {
        ("case or space", ("Berlin", "BERLIN", "berlin "))
    }
    assert of(found, "number").statistics.text.numbers == 1.0
    assert of(found, "day").statistics.text.dates == 1.0
    assert of(found, "list").statistics.nulls == 0
    assert found.row_duplicates is None
    told = list(remarks(found))
    assert "day: 100.0 % of the texts look like dates" in told
    pairs = {(pair.columns, pair.kind): pair.value for pair in found.correlations}
    assert pairs[("x", "twice"), "Pearson"] == pytest.approx(1.0)
    assert pairs[("x", "cube"), "Spearman"] == pytest.approx(1.0)
    assert pairs[("country", "money"), "Cramér's V"] > 0.99


def test_keys_quarantine_and_unknown_names(project: Project) -> None:
    found = project.describe("copy")
    assert (found.rows, found.key, found.key_duplicates) == (ROWS - 7, ("id",), 1)
    aside = project.describe("quarantine.copy")
    assert aside.rows == 7
    assert of(aside, "_check").statistics.distinct == 1
    with pytest.raises(UnknownName):
        project.describe("nothing")


def test_of_many_rows_a_sample_is_read_and_counts_stay_exact(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describing, "LIMIT", 100)
    found = project.describe("raw")
    assert found.sampled
    assert 50 < found.looked_at < 150
    assert (found.exact, found.rows) == (True, ROWS)
    assert (of(found, "x").statistics.nulls, of(found, "x").statistics.nans) == (1, 1)
    assert of(found, "far").statistics.high == 10_000
    assert project.describe("raw") == found


def test_the_page_is_self_contained_and_escapes_what_it_shows(project: Project) -> None:
    html = page(project.describe("raw"))
    assert "<script" not in html
    assert "http" not in html
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "prefers-color-scheme: dark" in html
    assert html.count("<article>") == len(TABLE.column_names)
    assert html.count("<svg") >= 4


def test_whole_numbers_have_bins_of_equally_many(project: Project) -> None:
    days = column("day", "int64", pa.chunked_array([[day for day in range(1, 32) for _ in range(3)]]), None)
    assert days.histogram is not None
    assert days.histogram.bins == (3,) * 31
    wide = column("n", "int64", pa.chunked_array([list(range(1_000))]), None).histogram
    assert wide is not None
    assert set(wide.bins[:-1]) == {wide.bins[0]}
    huge = column("n", "int64", pa.chunked_array([[-(2**63), 2**63 - 1]]), None).histogram
    assert huge is not None
    assert sum(huge.bins) == 2
    constant = column("n", "float64", pa.chunked_array([[2.5, 2.5]]), None).histogram
    assert constant is not None
    assert constant.bins == (2,)
    empty = column("n", "float64", pa.chunked_array([[None, None]], "float64"), None)
    assert (empty.histogram, empty.statistics.nulls) == (None, 2)


def test_spelling() -> None:
    assert is_one_edit_away("hamburg", "hambrug")
    assert is_one_edit_away("hamburg", "hamburgh")
    assert is_one_edit_away("hamburg", "hambug")
    assert is_one_edit_away("hamburg", "hamborg")
    assert not is_one_edit_away("hamburg", "hamburg")
    assert not is_one_edit_away("hamburg", "homborg")
    (found,) = variants(pa.array(["Hamburg", "Hambrug", "Bonn", "Bohn"]), np.array([100, 3, 100, 3]))
    assert found.kind == "spelling"
    assert [level.value for level in found.levels] == ["Hamburg", "Hambrug"]


def test_correlations_of_independent_and_of_tied_values() -> None:
    random = np.random.default_rng(1)
    rows = pa.table(
        {"a": random.normal(size=2_000), "b": random.normal(size=2_000), "c": random.choice(["x", "y"], 2_000)}
    )
    assert correlations(rows) == ()
    assert list(ranks(np.array([3.0, 1.0, 3.0, 2.0]))) == [3.5, 1.0, 3.5, 2.0]
    assert cramers_v(np.array([0, 0]), np.array([0, 1])) is None


def test_bars() -> None:
    assert bars([0, 1, 8]) == " ▂█"
    assert bars([]) == ""
    assert len(bars(range(24))) == 12
