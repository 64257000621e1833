"""Benchmarks load, and the pieces that they share do what their numbers rest on."""

from __future__ import annotations

import ast
import math
import re
import runpy
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
SIDES = {
    "_feast_side": {"feast", "pandas", "pyarrow"},
    "_quality_side": {"catboost", "flaml", "lightgbm", "numpy", "pandas", "sklearn"},
    "_fastapi_side": {"fastapi", "lmdb", "numpy", "onnxruntime", "pydantic", "uvicorn"},
    "_onnx_bentoml": {"bentoml", "numpy", "onnxruntime", "pydantic"},
    "_onnx_mlflow": {"mlflow", "numpy", "onnxruntime"},
    "_onnx_mlserver": {"mlserver", "numpy", "onnxruntime"},
}
"""The programs that run in environments of their own, with what these have."""
MODULES = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("__main__", *SIDES))


@pytest.fixture(scope="module", autouse=True)
def benchmarks() -> Iterator[None]:
    """The directory is on the path, as where a benchmark is run; other tests never see its modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", MODULES)
def test_it_loads_and_says_how_it_is_run(name: str) -> None:
    module = import_module(name)
    assert name.startswith("_") or f"\n    python benchmarks/{name}.py" in str(module.__doc__)


@pytest.mark.parametrize("side", SIDES)
def test_a_side_needs_nothing_that_its_own_environment_lacks(side: str) -> None:
    tree = ast.parse((HERE / f"{side}.py").read_text())
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    packages = {str(name).split(".")[0] for name in named} - sys.stdlib_module_names
    assert packages == SIDES[side]


def test_what_is_printed_takes_the_place_of_what_stood_on_the_page() -> None:
    written = runpy.run_path(str(HERE / "__main__.py"))["written"]
    page = "A\n```console\n$ python benchmarks/{}.py\n{}```\nB\n"
    both = page.format("one", "old\n") + page.format("other", "")
    assert written(both, "one", "new\nlines\n") == page.format("one", "new\nlines\n") + page.format("other", "")
    assert written(both, "third", "new\n") == both


def test_the_page_has_a_place_for_every_benchmark() -> None:
    page = (HERE.parent / "docs" / "benchmarks.md").read_text()
    benchmarks = {name for name in MODULES if not name.startswith("_")}
    shown = set(re.findall(r"^```console\n\$ python benchmarks/(\w+)\.py$", page, re.M))
    elsewhere = {"detection", "billion"}  # on pages of their own: findings.md, to-a-billion-events.md
    assert shown == benchmarks - elsewhere


def test_what_a_billion_events_need_is_computed_from_the_numbers_of_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runpy.run_path(str(HERE / "billion.py"))["main"]()
    said = capsys.readouterr().out
    assert said.count("/s measured") == 5
    page = (HERE.parent / "docs" / "to-a-billion-events.md").read_text()
    assert f"$ python benchmarks/billion.py\n{said}```" in page


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────


def test_sides_take_turns_there_and_back_and_what_warms_up_is_not_counted() -> None:
    happened: list[str] = []

    def side(name: str) -> Any:
        def turn() -> list[float]:
            happened.append(name)
            return [float(len(happened))]

        return turn

    taken = import_module("_turns").take_turns({"a": side("a"), "b": side("b")}, repeat=2)
    assert happened == ["a", "b", "b", "a", "a", "b"]
    assert taken == {"a": [4.0, 5.0], "b": [3.0, 6.0]}


def test_a_line_has_the_median_and_how_many_times_that_of_the_first() -> None:
    lines = import_module("_turns").lines
    assert lines({"one": [1.0, 9.0, 2.0], "other": [5.0]}) == [
        "  one       2.00 s     1.00 ×",
        "  other     5.00 s     2.50 ×",
    ]
    assert lines({"one": [0.0015]}, "µs") == ["  one     1,500 µs     1.00 ×"]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"id": [1, 2], "x": [0.5, 0.5000001]}, "0.5000001 is not None, in row 1 of x"),
        ({"id": [1, 2], "x": [0.6, None]}, "0.6 is not 0.5, in row 0 of x"),
        ({"id": [1], "x": [0.5]}, r"\(1, 2\) rows and columns are not \(2, 2\)"),
    ],
)
def test_what_differs_ends_the_benchmark(found: dict[str, Any], told: str) -> None:
    wanted = pa.table({"id": [1, 2], "x": [0.5, None]})
    agree = import_module("_turns").agree
    agree("same", pa.table({"id": [1, 2], "x": [0.5 + 1e-9, None]}), wanted)
    with pytest.raises(SystemExit, match=f"other: {told}"):
        agree("other", pa.table(found), wanted)


# ── peers ────────────────────────────────────────────────────────────────────────────────────────────


def test_mainstem_agrees_with_the_asof_join_of_the_same_files(tmp_path: Path) -> None:
    peers, worlds = import_module("peers"), import_module("_worlds")
    peers.write(tmp_path, 2_000, 300)
    wanted = peers.by_hand(tmp_path)
    import_module("_turns").agree(
        "Mainstem", peers.mainstem(tmp_path, worlds.dataset(worlds.MEASURES, columns=worlds.COLUMNS)), wanted
    )
    assert 0 < wanted["f0"].null_count < len(wanted) == 300


def test_examples_that_were_left_out_come_back_as_nulls_in_their_place() -> None:
    wanted = pa.table({"id": [0, 1, 2], "x": [0.5, None, 1.5]})
    found = import_module("peers").completed(pa.table({"id": [2, 0], "x": [1.5, 0.5]}), wanted)
    assert found.to_pydict() == wanted.to_pydict()


SIDE = """
import json, sys
print("begun with", sys.argv[2:], file=sys.stderr)
for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "fail":
        raise ValueError("no such store")
    print(json.dumps(order), flush=True)
"""


def test_orders_go_to_a_child_process_whose_last_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feast = import_module("_feast")
    (tmp_path / "side.py").write_text(SIDE)
    monkeypatch.setattr(feast, "SIDE", tmp_path / "side.py")
    monkeypatch.setattr(feast, "environment", lambda: Path(sys.executable))
    with feast.Feast(tmp_path, ["f0", "f1"]) as side:
        assert side("rows", "dask", keys=[1, 2]) == {"do": "rows", "name": "dask", "keys": [1, 2]}
        with pytest.raises(SystemExit, match=r"(?s)could not fail dask:\nbegun with \['f0,f1'\].*no such store"):
            side("fail", "dask")


# ── growth ───────────────────────────────────────────────────────────────────────────────────────────


def growth_of(*seconds: float) -> Any:
    growth = import_module("growth")
    base = growth.Size(events=100)
    taken = dict(zip(growth.sizes(base, ["events"]), seconds, strict=True))
    return growth.Growth("dataset", "s", base, taken, ("events",))


def test_growth_is_told_from_the_base_to_the_last() -> None:
    growth = import_module("growth")
    (line,) = growth.lines(growth_of(2.0, 3.0, 5.0))
    assert growth.head().split() == ["what", "grows", "1", "×", "3", "×", "10", "×", "grew"]
    assert line.split() == ["dataset", "events", "2.00", "s", "3.00", "s", "5.00", "s", "2.5", "×"]


def test_a_size_grows_in_one_thing_and_the_base_is_measured_once() -> None:
    growth = import_module("growth")
    found = growth.sizes(growth.Size(events=5, keys=2), ["events", "keys"])
    assert [(size.events, size.keys) for size in found] == [(5, 2), (15, 2), (50, 2), (5, 6), (5, 20)]


def test_a_state_is_taken_in_and_read(tmp_path: Path) -> None:
    growth = import_module("growth")
    states, size = growth.States(tmp_path), growth.Size(events=10_000, keys=1_000, windows=2)
    for _again in range(2):
        (each,) = states.take_in(size)
        assert 0 < each < 1
    assert len(states.read(size)) == 1_000
    states.close(size)
    assert list(tmp_path.iterdir()) == []


def test_the_plot_has_each_curve_with_its_name_and_how_often_it_grew() -> None:
    plot = import_module("_plot")
    picture = ElementTree.fromstring(plot.svg([import_module("growth").panel(growth_of(2.0, 3.0, 5.0))]))
    name = "{http://www.w3.org/2000/svg}"
    words = ["".join(text.itertext()) for text in picture.iter(f"{name}text")]
    assert {"Dataset", "2.00 s at the base", "linear ", "events 2.5×"} <= set(words)
    heights = [float(circle.attrib["cy"]) for circle in picture.iter(f"{name}circle")]
    assert heights == sorted(heights, reverse=True) and len(heights) == 3


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([10, 20, 45], [10, 20, 45]),
        ([10, 12, 45], [6, 16, 45]),
        ([10, 10, 10], [0, 10, 20]),
        ([10, 12, 18], [3.3, 13.3, 23.3]),
    ],
)
def test_labels_are_moved_apart_and_no_further_than_they_must(places: list[float], moved: list[float]) -> None:
    assert import_module("_plot").spread(places, apart=10) == moved


def test_equal_scores_share_their_rank_and_calibration_is_that_of_bins() -> None:
    quality = import_module("quality")
    assert quality.ranked({"a": 2.0, "b": 1.0, "c": 2.0, "d": 3.0}) == {"a": 2.5, "b": 1.0, "c": 2.5, "d": 4.0}
    truth = ["yes", "yes", "no", "no"]
    answers = [{"yes": p, "no": 1 - p} for p in (0.95, 0.95, 0.95, 0.05)]
    assert quality.ece(truth, answers) == pytest.approx((2.85 - 2 + 0.05) / 4)
    assert quality.score("binary", truth[:1], answers[:1]) == pytest.approx((-math.log(0.95), math.inf))
    assert quality.score("regression", ["1", "3"], [2.0, 5.0])[0] == pytest.approx(math.sqrt(2.5))
    stated = {"value": 1.0, "low": 0.9, "high": 1.3}
    assert quality.agrees({"score": 1.45, "half": 0.4, "stated": stated})
    assert not quality.agrees({"score": 0.5, "half": 0.4, "stated": stated})


def test_methods_are_compared_on_the_same_held_out_rows() -> None:
    quality = import_module("quality")
    assert quality.student(3) == pytest.approx(3.182, rel=0.01) and quality.student(39) == pytest.approx(
        2.0227, rel=1e-4
    )
    theirs = quality.blocks([1.0, 3.0, 2.0, 2.0, 5.0, 1.0], [0, 1, 2, 0, 1, 2])
    assert theirs == [[3.0, 2], [8.0, 2], [3.0, 2]]
    steady = [[loss - 0.5, size] for loss, size in theirs]
    noisy = [[loss + step, size] for (loss, size), step in zip(theirs, (3, -2, 1), strict=True)]
    assert quality.verdict(steady, theirs) == "better" and quality.verdict(theirs, steady) == "worse"
    assert quality.verdict(noisy, theirs) == "same" and quality.verdict(theirs, theirs) == "same"
    cell = {"Mainstem": {"score": 2.0, "losses": theirs}, "Mainstem, tuned": {"score": 1.0, "losses": steady}}
    old = {method: {"score": 1.0} for method in cell}
    (told,) = quality.beside([cell, old], "Mainstem, tuned", "Mainstem")
    assert told.endswith("significantly better in 1 of 1 splits, worse in 0; geometric mean of the ratios 0.500")
    assert quality.beside([old], "Mainstem, tuned", "Mainstem") == []


def test_live_features_of_flights_are_of_events_before() -> None:
    flights = import_module("flights_quality")
    now = float(flights.HELD_OUT)
    keys, times = np.array([0.0, 0, 1, 0, 0]), now + np.array([0.0, 10, 20, 60, np.nan])
    asked, late = now + np.array([0.0, 60, 60, 61, 61]), np.array([4.0, 8, 30, 50, 99])
    past = flights.Past(keys, times, asked, 55)
    assert past.counts.tolist() == [0, 1, 1, 2, 2]
    np.testing.assert_array_equal(past.mean(late), [np.nan, 8, 30, 29, 29])
    value, minutes = flights.last(keys, times, late, asked)
    np.testing.assert_array_equal(value, [np.nan, 8, 30, 50, 50])
    np.testing.assert_allclose(minutes, [np.nan, 50 / 60, 40 / 60, 1 / 60, 1 / 60])


def test_held_out_rows_are_other_groups_or_later_ones(tmp_path: Path) -> None:
    tables = import_module("_quality_tables")
    rows = "".join(f'"{n}",{n % 5},{1960 + n % 10},{n}\n' for n in range(100))
    (tmp_path / "T.csv").write_text('"","who","year","y"\n' + rows)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "T.csv", "resources/T.csv")
    grouped = tables.split(
        tmp_path / "packed.tar.gz", tables.Table("T", "regression", "y", by="who", kind="grouped"), 0
    )
    assert not {row["who"] for row in grouped.train} & {row["who"] for row in grouped.test}
    assert grouped.inputs == ("year",) and len(grouped.train) + len(grouped.test) == 100
    timed = tables.split(tmp_path / "packed.tar.gz", tables.Table("T", "regression", "y", by="year", kind="time"), 0)
    assert max(row["year"] for row in timed.train) < min(row["year"] for row in timed.test)
