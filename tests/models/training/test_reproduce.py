"""A version is made again from what was recorded: the same bytes, or the step that differs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ibis import _
from sklearn.linear_model import Ridge
from typer.testing import CliRunner

import mainstem as ms
import mainstem.testing
from mainstem.cli.app import app
from mainstem.errors import ModelError, NotFound
from mainstem.models.artifact.manifest import read
from mainstem.models.training import reproduce as module
from mainstem.models.training.blueprint import blueprint_of

SCHEMA = {"id": "string", "at": "timestamp('UTC')", "a": "float64", "b": "float64", "city": "string", "y": "float64"}


def rows(n=420):
    import datetime as dt

    random = np.random.default_rng(0)
    found = []
    for i in range(n):
        a, b = float(random.normal()), float(random.lognormal())
        city = str(random.choice(["x", "y", "z"]))
        found.append(
            {
                "id": f"r{i:04}",
                "at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=7 * i),
                "a": a,
                "b": b,
                "city": city,
                "y": a / b + (2 if city == "x" else 0) + float(random.normal(0, 0.3)),
            }
        )
    return found


def trained(**options):
    source = ms.files("rows.parquet", key="id", schema=SCHEMA)
    usual = {"target": "y", "features": ["a", "b", "city"], "folds": 2}
    return mainstem.testing.project(
        {"rows": source, "m": ms.model(source, **{**usual, **options})}, data={"rows": rows()}
    )


BINARY = {"target": _.y > 0.5, "test": 0.25}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"test": 0.25, "candidates": ["lightgbm"]},
        {"test": 0.25, "tune": 10},
        {"tune": 25, **BINARY, "calibrate": "isotonic", "metric": "log_loss"},
        {"tune": 8, "test": 0.25, "candidates": [Ridge(alpha=3.0), ms.mlp(hidden_layer_sizes=(8,))]},
        {**BINARY, "candidates": "lightgbm", "resample": "over", "calibrate": "sigmoid"},
        {"test": 0.25, "candidates": "linear", "engineer": [ms.ratios(["a", "b"]), ms.pca(2)], "select": "auto"},
        {
            "test": 0.25,
            "prediction_time": _.at,
            "gap": "1d",
            "assume_known": dict.fromkeys(["a", "b", "city"], "tests"),
        },
    ],
    ids=["crossed", "held-out", "tuned", "calibrated", "estimators", "resampled", "engineered", "timed"],
)
def test_a_version_is_made_again_to_the_byte(options):
    with trained(**options) as project:
        project.run()
        found = project.reproduce("m-1")
        assert found.equal, found
        assert [step.step for step in found.steps if step.step != "earlier.onnx"] == [
            "libraries", "definition", "rows", "model.onnx",
        ]  # fmt: skip
        assert all(step.same for step in found.steps) and "equal, byte by byte" in found.text
        held = project.report("m").to_dict()["rows"].get("test", 0) > 0
        assert ("earlier.onnx" in [step.step for step in found.steps]) == held


def changed(project, change):
    (file,) = project.settings.lake.rglob("models/m/*/manifest.json")
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def test_the_step_that_differs_is_told(monkeypatch):
    with trained(test=0.25, candidates="lightgbm") as project:
        project.run()
        changed(project, lambda m: m["choice"]["made"]["settings"].update(num_leaves=5))
        found = project.reproduce("m-1")
        assert not found.equal and found.text.endswith("the first step that differs: earlier.onnx")
        assert " and not " in found.steps[-1].told
        changed(project, lambda m: m["choice"].update(rows="other"))
        assert project.reproduce("m-1").text.endswith("differs: rows")
        monkeypatch.setattr(module, "versions", lambda: {"python": "2.7"})
        found = project.reproduce("m-1")
        assert found.steps[0].told.startswith("python 3.") and "2.7 now" in found.steps[0].told
        assert not found.steps[0].same


def test_libraries_alone_do_not_make_a_version_differ(monkeypatch):
    with trained(candidates="linear") as project:
        project.run()
        monkeypatch.setattr(module, "versions", dict)
        found = project.reproduce("m-1")
        assert found.equal and not found.steps[0].same


def test_a_changed_definition_is_told_and_a_candidate_that_is_gone():
    with trained(candidates=Ridge(alpha=2.0)) as project:
        project.run()
        graph, name = project.graph, "m"
        other = replace(graph[name], node=replace(graph[name].node, candidates=("linear",)), fingerprint="else")
        found = module.reproduced
        (file,) = project.settings.lake.rglob("models/m/*/manifest.json")
        blueprint = replace(blueprint_of(graph, name), model=other.node)
        dataset = project.dataset("m").to_pyarrow()
        result = found(blueprint, other.fingerprint, read(file.parent), dataset, lambda _: None)
        assert not result.equal and result.text.endswith("differs: definition")
        assert not result.steps[-1].same


@pytest.mark.parametrize(
    ("today", "equal", "said"),
    [
        ({"features": ["a", "b", "city"]}, True, ""),
        ({"features": ["a"]}, True, ""),
        ({"features": ["a", "b"], "groups": "city"}, False, "the stored rows lack a column"),
        ({"features": ["a", "b"], "weight": "b"}, False, "the stored rows lack a column"),
    ],
    ids=str,
)
def test_a_version_is_made_again_from_the_inputs_that_it_has(today, equal, said):
    with trained(features=["a", "b"], candidates="linear") as project, trained(**today) as other:
        project.run()
        other.run()
        graph, fingerprint = other.graph, other.graph["m"].fingerprint
        (file,) = project.settings.lake.rglob("models/m/*/manifest.json")
        found = module.reproduced(
            blueprint_of(graph, "m"), fingerprint, read(file.parent), project.dataset("m").to_pyarrow(), lambda _: None
        )
        assert found.equal == equal and said in found.steps[-1].told


def test_what_cannot_be_made_again_is_refused():
    with trained(candidates="linear") as project:
        project.run()
        with pytest.raises(NotFound, match="unknown model version 'm-7'"):
            project.reproduce("m-7")
        changed(project, lambda m: m.pop("choice"))
        with pytest.raises(ModelError, match="does not tell what was chosen"):
            project.reproduce("m-1")


PROJECT = """
import mainstem as ms
homes = ms.files("homes.csv", key="id")
price = ms.model(homes, target="price", features="all", candidates=["linear"], folds=2)
"""


def run(directory, *arguments):
    return CliRunner().invoke(app, [*arguments, "-C", str(directory)], prog_name="mainstem")


def test_the_command_has_an_exit_code(tmp_path):
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "homes"\nmodules = ["homes"]\n')
    (tmp_path / "homes.py").write_text(PROJECT)
    lines = ["id,area,price", *(f"{n},{n % 50 + 20},{(n % 50 + 20) * 3000 + n * 37 % 1000}" for n in range(120))]
    (tmp_path / "homes.csv").write_text("\n".join(lines))
    for arguments in (["source", "lock"], ["run"]):
        run(tmp_path, *arguments)
    done = run(tmp_path, "reproduce", "price-1")
    assert done.exit_code == 0 and "price-1 is reproduced" in done.output
    found = json.loads(run(tmp_path, "reproduce", "price-1", "--json").output)
    assert found["equal"] is True and found["steps"][-1]["step"] == "model.onnx"
    assert run(tmp_path, "reproduce", "price-9").exit_code != 0
    (file,) = tmp_path.rglob("models/price/1/manifest.json")
    manifest = json.loads(file.read_text())
    manifest["sha256"] = "0" * 64
    file.write_text(json.dumps(manifest))
    done = run(tmp_path, "reproduce", "price-1")
    assert done.exit_code == 1 and "differs: model.onnx" in done.output
