"""What was saved scores as it did; what was damaged says so."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from mainstem.errors import ModelError, StorageError
from mainstem.models.algorithms import algorithm
from mainstem.models.artifact import export
from mainstem.models.artifact.manifest import Manifest
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.columns import rows_of
from mainstem.models.data.rows import NULL
from mainstem.nodes.records import InputColumn

INPUTS = (
    InputColumn("x0", "float"),
    InputColumn("s0", "string"),  # the kinds alternate: the order of inputs is not that of the blocks
    *(InputColumn(f"x{j}", "float") for j in range(1, 5)),
    InputColumn("s1", "string"),
)


def columns_of(rows):
    return {f"x{j}": rows.floats[:, j] for j in range(5)} | {f"s{j}": rows.strings[:, j] for j in range(2)}


@pytest.fixture
def saved(tmp_path, worlds, task):
    examples = worlds.examples(task)
    estimator = algorithm("lightgbm").fit(examples, {"rounds": 20.0})
    model = export.graph(estimator, 5, 2, task, examples.classes)
    manifest = Manifest("m", 1, task, "lightgbm", "log_loss", INPUTS, export.digest(model), ("a", "b", "c"))
    return tmp_path / export.save(tmp_path, manifest, model), estimator, examples


@pytest.fixture
def directory(saved):
    return saved[0]


def test_scores_as_the_fitted_model(saved, worlds):
    directory, estimator, _ = saved
    scorer, rows = Scorer.load(directory), worlds.rows(500, seed=3)
    expected = estimator.scores(rows)
    found = scorer.score(columns_of(rows))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    lists = {name: [None if v is NULL else v for v in column.tolist()] for name, column in columns_of(rows).items()}
    lists["x1"] = [None if v != v else v for v in lists["x1"]]
    np.testing.assert_array_equal(scorer.score(lists), found)
    single = [scorer.score({name: column[i : i + 1] for name, column in lists.items()})[0] for i in range(20)]
    np.testing.assert_allclose(single, found[:20], rtol=1e-6)


def test_no_rows_no_scores(directory, worlds):
    assert len(Scorer.load(directory).score(columns_of(worlds.rows(0)))) == 0


def test_from_several_threads(directory, worlds):
    scorer, columns = Scorer.load(directory), columns_of(worlds.rows(200))
    expected = scorer.score(columns)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: scorer.score(columns), range(40)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("task", ["binary"], indirect=True)
class TestOneTask:
    def test_truth_values_integers_and_huge_numbers(self, directory, worlds):
        columns = columns_of(worlds.rows(3)) | {
            "x0": [True, False, None],
            "x2": [1, 2, 10**30],
            "x4": [1e300, -1e300, 0.0],
        }
        assert np.isfinite(Scorer.load(directory).score(columns)).all()

    def test_unknown_and_odd_texts(self, directory, worlds):
        texts = ["never seen", "", None, float("nan"), "a\x00b", "🛫" * 1000]
        columns = columns_of(worlds.rows(6)) | {"s0": texts}
        scorer = Scorer.load(directory)
        found = scorer.score(columns)
        unknown = scorer.score(columns | {"s0": ["other"] * 6})
        assert found[0] == unknown[0] and found[5] == unknown[5] and found[2] != unknown[2]

    def test_a_missing_input(self, directory, worlds):
        columns = columns_of(worlds.rows(3))
        columns["x_3"] = columns.pop("x3")
        with pytest.raises(ModelError, match="'x3' is missing") as error:
            Scorer.load(directory).score(columns)
        assert "'x_3'" in error.value.hint

    def test_a_text_where_a_number_belongs(self, directory, worlds):
        with pytest.raises(ModelError, match="'x0' cannot be read") as error:
            Scorer.load(directory).score(columns_of(worlds.rows(2)) | {"x0": ["much", "more"]})
        assert error.value.expected == "numbers"
        with pytest.raises(ModelError, match="'s1' cannot be read"):
            Scorer.load(directory).score(columns_of(worlds.rows(2)) | {"s1": [1, 2]})

    def test_unlike_lengths(self, directory, worlds):
        with pytest.raises(ModelError, match="differ in length"):
            Scorer.load(directory).score(columns_of(worlds.rows(3)) | {"x2": [1.0, 2.0]})
        with pytest.raises(ModelError, match="differ in length"):
            Scorer.load(directory).score(columns_of(worlds.rows(3)) | {"s0": ["a", "b"], "s1": ["a", "b"]})

    def test_text_that_is_no_unicode(self, directory, worlds):
        with pytest.raises(ModelError, match="cannot score"):
            Scorer.load(directory).score(columns_of(worlds.rows(1)) | {"s0": ["\ud800"]})

    @pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
    def test_a_truncated_model(self, directory, keep):
        path = directory / "model.onnx"
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
        with pytest.raises(ModelError, match="not the one its manifest describes") as error:
            Scorer.load(directory)
        assert "roll back" in error.value.hint and "model.onnx" in error.value.where

    def test_a_truncated_manifest(self, directory):
        path = directory / "manifest.json"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ModelError, match="manifest cannot be read"):
            Scorer.load(directory)

    def test_a_later_format(self, directory):
        path = directory / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
        with pytest.raises(ModelError, match="newer version of Mainstem"):
            Scorer.load(directory)

    def test_nothing_there(self, directory):
        with pytest.raises(ModelError, match="no model artifact"):
            Scorer.load(directory.parent / "7")
        (directory / "model.onnx").unlink()
        with pytest.raises(ModelError, match="cannot be read"):
            Scorer.load(directory)

    def test_bytes_that_are_no_model(self, tmp_path, directory):
        garbage = b"not a model"
        manifest = Manifest("g", 1, "binary", "x", "log_loss", INPUTS, export.digest(garbage))
        with pytest.raises(ModelError, match="ONNX Runtime refuses"):
            Scorer.load(tmp_path / export.save(tmp_path, manifest, garbage))

    def test_saving_is_all_or_nothing(self, tmp_path, directory):
        manifest = Manifest("m", 1, "binary", "x", "log_loss", INPUTS, "0")
        before = (directory / "manifest.json").read_bytes()
        assert export.save(tmp_path, manifest, b"other") is None, "the number is taken"
        assert (directory / "manifest.json").read_bytes() == before
        assert [p.name for p in directory.parent.iterdir()] == ["1"], "no draft is left"
        assert export.next_number(tmp_path, "m", 0) == 2 and export.next_number(tmp_path, "m", 8) == 9

    def test_the_runtime_says_nothing(self, directory):
        """Its warnings go straight to the process' stderr, past Python's."""
        script = (
            "import sys, pathlib; from mainstem.models.artifact.scorer import Scorer\n"
            "s = Scorer.load(pathlib.Path(sys.argv[1]))\n"
            "for n in (1, 2, 30):\n"
            "    s.score({c.name: [1.0 if c.type == 'float' else 'JFK'] * n for c in s.inputs})\n"
            "heavy = {'sklearn', 'lightgbm', 'onnx', 'pandas', 'scipy'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(directory)], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_arrow_tables_become_the_same_rows(worlds):
    table = pa.table(
        {
            "b": pa.array([True, None, False]),
            "i": pa.array([2**40, None, -3]),
            "f": pa.array([1e300, float("nan"), None]),
            "s": pa.array(["a", None, ""]).dictionary_encode(),
        }
    )
    inputs = (
        InputColumn("b", "float"),
        InputColumn("s", "string"),
        InputColumn("i", "float"),
        InputColumn("f", "float"),
    )
    rows = rows_of(table, inputs)
    np.testing.assert_array_equal(
        rows.floats, np.array([[1, 2**40, np.inf], [np.nan, np.nan, np.nan], [0, -3, np.nan]], np.float32)
    )
    assert rows.strings[:, 0].tolist() == ["a", NULL, ""]


def test_a_disk_that_refuses(tmp_path):
    (tmp_path / "models").write_text("a file where a directory belongs")
    manifest = Manifest("m", 1, "binary", "x", "log_loss", INPUTS, "0")
    with pytest.raises(StorageError, match="could not be saved") as error:
        export.save(tmp_path, manifest, b"")
    assert "models/m/1" in error.value.where
