"""Tables without time: small ones by cross-validation, large ones held out; groups, given splits, and the gate."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pytest
from ibis import _
from sklearn import metrics as oracle

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, LeakError, ModelError, RunFailed
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.columns import rows_of
from mainstem.models.training import train
from mainstem.models.training.parts import parts_of
from mainstem.models.versions import comparing, registry
from mainstem.models.versions.report import card
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step

SCHEMA = {
    "id": "string",
    "area": "float64",
    "city": "string",
    "sold_on": "date",
    "shop": "string",
    "part": "string",
    "price": "float64",
}


def houses(n: int = 120, seed: int = 0, parts=("train", "test")) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        area, city = float(rng.uniform(30, 200)), str(rng.choice(["Berlin", "Paris", "Rome"]))
        price = area * (4_500 if city == "Paris" else 3_000) + float(rng.normal(0, 20_000))
        rows.append(
            {
                "id": f"h{i}",
                "area": area if i % 15 else None,
                "city": city if i % 20 else None,
                "sold_on": dt.date(2010 + i % 10, 1 + i % 12, 1 + i % 28),
                "shop": f"s{i // 6}",
                "part": parts[0] if i % 4 else parts[1],
                "price": price if i % 30 else None,
            }
        )
    return rows


def project_of(data, target="price", **options):
    source = ms.files("houses.parquet", key="id", schema=SCHEMA)
    model = ms.model(source, target=target, **{"features": ["area", "city"], **options})
    return mainstem.testing.project(
        {"houses": source, "price": model, "desk": ms.endpoint(model)}, data={"houses": data}
    )


def newest(project):
    return registry.versions(project.adapters.state, "price")[-1]


def stored(project):
    scan = project.adapters.lake.scan(project.release.tables["dataset.price"])
    with project.adapters.engine.session({"dataset.price": scan}) as session:
        return session.fetch('SELECT * FROM "dataset.price" WHERE _target IS NOT NULL ORDER BY id')


def test_a_small_table_is_cross_validated_and_the_card_says_so():
    with project_of(houses()) as project:
        project.run()
        made = newest(project)
        assert made.task == "regression" and made.trained_until is None and made.measured_until is None
        assert made.rows["cross-validated"] == 116 == made.rows["learned"] and made.rows["unlabelled"] == 4
        assert made.metrics["rmse"].rows == 116 and made.metrics["rmse"].high < made.baseline["rmse"].value * 0.55
        shown = card(made, project.adapters.lake_root)
        assert shown["evaluation"]["measured by"].startswith("5-fold cross-validation")
        assert shown["evaluation"]["leaks"] == "not checked by time: the model has no `prediction_time`"
        assert "all 116 labelled rows" in shown["evaluation"]["ships"]
        # Each row is scored by the artifact of the fold that did not learn it, and these scores give the metric.
        rows, directory = stored(project), project.adapters.lake_root / made.artifact
        scores, inputs = np.empty(len(rows)), rows_of(rows, made.inputs)
        folds = np.array(rows["_split"].to_pylist())
        assert set(folds) == {f"fold {n}" for n in range(1, 6)}
        assert len(project.dataset("price", "fold 2").to_pyarrow()) == (folds == "fold 2").sum()
        for fold in set(folds):
            some = np.flatnonzero(folds == fold)
            scorer = Scorer.load(directory, f"fold-{fold[-1]}.onnx")
            scores[some] = scorer.score_rows(inputs.take(some))
        y = np.asarray(rows["_target"].to_pylist())
        assert oracle.root_mean_squared_error(y, scores) == pytest.approx(made.metrics["rmse"].value)


def test_rows_that_are_alike_in_several_folds_are_counted():
    rows = [{**row, "id": f"{copy}{row['id']}"} for row in houses(60) for copy in "ab"]
    with project_of(rows) as project:
        project.run()
        said = card(newest(project), project.adapters.lake_root)["evaluation"]
        count = int(said["rows alike in several folds"].split(",")[0])
        assert 50 < count <= 116


def test_fifty_rows_are_enough_for_every_task():
    for target, task in ((_.price > 300_000, "binary"), (_.city, "multiclass"), (_.price, "regression")):
        features = ["area", "sold_on"] if task == "multiclass" else ["area", "city", "sold_on"]
        with project_of(houses(50), target, features=features) as project:
            project.run()
            assert (newest(project).task, newest(project).rows["cross-validated"]) == (
                task,
                newest(project).rows["learned"],
            )


def test_many_rows_are_held_out():
    with project_of(houses(1_200)) as project:
        project.run()
        made = newest(project)
        assert made.rows["test"] == 232 and made.rows["train"] == 928 and made.rows["learned"] == 1_160
        assert {p.name for p in (project.adapters.lake_root / made.artifact).iterdir()} == {
            "model.onnx",
            "earlier.onnx",
            "evaluation.json",
            "manifest.json",
        }


def test_a_declared_test_is_held_out_of_a_small_table():
    with project_of(houses(200), test=0.25) as project:
        project.run()
        assert newest(project).rows["test"] == 48


def test_groups_stay_on_one_side():
    with project_of(houses(600), groups="shop") as project:
        project.run()
        rows = stored(project)
        parts: dict[str, set[str]] = {}
        for shop, part in zip(rows["_group"].to_pylist(), rows["_split"].to_pylist(), strict=True):
            parts.setdefault(shop, set()).add(part)
        assert all(len(found) == 1 for found in parts.values())
        said = card(newest(project), project.adapters.lake_root)["evaluation"]
        assert said["split"] == "by `groups`" and said["intervals"] == "95 %, bootstrap of whole groups"


@pytest.mark.parametrize(
    ("rows", "groups", "crossed"),
    [(999, 999, True), (1_000, 1_000, False), (5_000, 49, True), (5_000, 50, False), (20_000, 49, False)],
)
def test_what_is_affordable_is_cross_validated(rows, groups, crossed):
    y, group = np.arange(rows) % 2, np.arange(rows) % groups
    model = ms.model("houses", target="price", features=["area"], groups="shop")
    found = parts_of(model, np.zeros(rows, np.int64), y, groups=group, given=None, enough=True)
    assert (len(found.folds), found.holdout is None) == ((5, True) if crossed else (0, False))


def test_the_user_says_which_rows_test():
    with project_of(houses(400), split="part") as project:
        project.run()
        made, rows = newest(project), stored(project)
        assert rows["_part"].to_pylist() == rows["_split"].to_pylist()
        assert made.rows["test"] + made.rows["train"] == made.rows["learned"] == 386
    with project_of(houses(400, parts=("north", "south")), split="part") as project:
        project.run()
        assert newest(project).rows["cross-validated"] == 386
        assert card(newest(project), project.adapters.lake_root)["evaluation"]["measured by"].startswith("2-fold")


def test_a_misspelled_part_is_refused():
    with project_of(houses(400, parts=("train", "tset")), split="part") as project:
        with pytest.raises(RunFailed, match="does not name parts") as error:
            project.run()
        assert "'tset'" in str(error.value)


def test_all_columns_are_features_and_a_date_brings_its_parts():
    with project_of(houses(200), features="all") as project:
        project.run()
        inputs = {column.name: column for column in newest(project).inputs}
        dated = {f"sold_on__{part}" for part in ("year", "month", "day", "weekday")}
        assert set(inputs) == {"area", "city", "shop", "part", *dated}, "neither the key nor the target"
        assert inputs["sold_on__year"].sources == ("houses.sold_on",)
        assert project.show("price").computed_by_the_engine == [], "dates are read without the engine"
        row = {"area": 80.0, "city": "Rome", "shop": None, "part": None, "sold_on": "2013-12-25"}
        (answer,) = project.predict("price", [row])
        dated = {name: value for name, value in answer["features"].items() if name.startswith("sold_on")}
        assert dated == {"sold_on__year": 2013, "sold_on__month": 12, "sold_on__day": 25, "sold_on__weekday": 2}


def test_a_date_has_the_same_parts_online_and_offline():
    with project_of(houses(100), features=["sold_on", "area"]) as project:
        project.run()
        for row in project.dataset("price").to_pyarrow().to_pylist()[:30]:
            (answer,) = project.predict("price", [{"sold_on": str(row["sold_on"]), "area": row["area"]}])
            assert {name: row[name] for name in answer["features"]} == answer["features"]


def test_a_feature_made_of_the_target_is_refused_without_a_time():
    with project_of(houses(), _.price > 100, features=["area", "price"]) as project:
        with pytest.raises(LeakError, match="'price' leaks: the target is computed from it") as error:
            project.graph["price"]
        assert error.value.got == "'price', from houses.price"


def test_what_needs_a_time_is_refused():
    source = ms.files("houses.parquet", key="id", schema=SCHEMA)
    view = ms.feature_view(source, key="id", columns=["area"])
    for options, what in (
        ({"features": [view]}, "a feature view requires `prediction_time`"),
        ({"features": ["area"], "window": "9d"}, "`window` as a duration requires `prediction_time`"),
        ({"features": ["area"], "test": "9d"}, "`test` as a duration requires `prediction_time`"),
    ):
        model = ms.model(source, target="price", **options)
        nodes = {"houses": source, "area": view, "price": model}
        with (
            mainstem.testing.project(nodes, data={"houses": houses(60)}) as project,
            pytest.raises(DefinitionError, match=what),
        ):
            project.graph["price"]


def test_versions_are_compared_on_rows_that_neither_has_seen(monkeypatch):
    """The challenger that learned nothing stays, and each row is scored by a fold that has not seen it."""
    with project_of(houses(300)) as project:
        project.run()
        project.promote("price")
        context = trained_again(project, monkeypatch, candidates=("naive",))
        promote = registry.Promote(project.adapters.lake_root)
        assert promote(Step("promote", "desk", ""), context).message.startswith("price-1 stays: rmse ")
        old, new = registry.versions(context.records, "price")
        with context.session(["dataset.price"]) as opened:
            before = registry._rows_of(old, context)
            evidence = comparing.compare(opened, project.adapters.lake_root, old, new, before, ("id",))
        assert evidence.gain.rows == 290
        assert evidence.champion.value == pytest.approx(old.metrics["rmse"].value)
        assert evidence.challenger.value == pytest.approx(new.metrics["rmse"].value)
        with context.session(["dataset.price"]) as opened, pytest.raises(ModelError, match="told apart") as error:
            comparing.compare(opened, project.adapters.lake_root, old, new, before, ())
        assert "without a key" in str(error.value)


def test_a_held_out_version_is_compared_on_the_test_rows_they_share(monkeypatch):
    with project_of(houses(2_000), candidates=("linear",)) as project:
        project.run()
        project.promote("price")
        context = trained_again(project, monkeypatch, seed=7)
        old, new = registry.versions(context.records, "price")
        with context.session(["dataset.price"]) as opened:
            before = registry._rows_of(old, context)
            evidence = comparing.compare(opened, project.adapters.lake_root, old, new, before, ("id",))
        assert 50 < evidence.gain.rows < 110, "a fifth of a fifth of the rows"


def trained_again(project, monkeypatch, **changes) -> Context:
    """Train a second version, of the model as `changes` would have it, and return the run's context."""
    context, resolve = project.reading("train"), train.blueprint_of

    def changed(graph, name):
        found = resolve(graph, name)
        return replace(found, model=replace(found.model, **changes))

    with monkeypatch.context() as patch:
        patch.setattr(train, "blueprint_of", changed)
        step = Step("train", "price", "again")
        context.absorb(step, train.Train(project.adapters.lake_root)(step, context))
    return context


def test_the_manifest_lists_every_artifact_with_its_hash():
    with project_of(houses()) as project:
        project.run()
        directory = project.adapters.lake_root / newest(project).artifact
        manifest = json.loads((directory / "manifest.json").read_text())
        assert set(manifest["earlier"]) == {f"fold-{n}.onnx" for n in range(1, 6)}
        (directory / "fold-2.onnx").write_bytes(b"changed")
        with pytest.raises(ModelError, match="not the one its manifest describes"):
            Scorer.load(directory, "fold-2.onnx")


def test_a_class_that_may_mean_a_missing_target_is_a_limit_of_the_card():
    rows = [{**row, "city": "-" if n % 10 == 0 else row["city"]} for n, row in enumerate(houses(200))]
    with project_of(rows, "city", features=["area", "price"]) as project:
        project.run()
        count = sum(row["city"] == "-" for row in rows)
        report = project.report("price")
        told = f"Rows of a class that may mean a missing target: '-' in {count};"
        assert any(each.startswith(told) for each in report.limits) and "-" in newest(project).classes


def test_a_text_for_a_missing_target_is_refused_unless_the_file_says_so(tmp_path):
    lines = [f"{n},{n % 40},{'NaN' if n % 10 == 0 else 'late' if n % 40 > 20 else 'early'}" for n in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,a,when", *lines]))
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "p"\nmodules = ["p"]\n')
    declared = """
import mainstem as ms
rows = ms.files("rows.csv", key="id"{options})
late = ms.model(rows, target="when", features=["a"], candidates=["linear"])
"""
    (tmp_path / "p.py").write_text(declared.format(options=""))
    with ms.load(tmp_path) as project, pytest.raises(RunFailed) as failed:
        project.run()
    (cause,) = failed.value.causes
    assert cause.what == "the target has texts that stand for a missing value"
    assert cause.got == "'NaN' in 20 of 200 rows"
    (tmp_path / "p.py").write_text(declared.format(options=', options={"nulls": {"when": ["NaN"]}}'))
    with ms.load(tmp_path) as project:
        project.run()
        card = project.show("late").card
        assert card["rows"]["unlabelled"] == 20
        assert card["classes"] == ["early", "late"]


def test_a_missing_truth_value_of_a_file_is_unlabelled(tmp_path):
    lines = [f"{n},{n % 40},{'NaN' if n % 10 == 0 else 'true' if n % 40 > 20 else 'false'}" for n in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,a,late", *lines]))
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "p"\nmodules = ["p"]\n')
    (tmp_path / "p.py").write_text("""
import mainstem as ms
rows = ms.files("rows.csv", key="id")
late = ms.model(rows, target="late", features=["a"], candidates=["linear"])
""")
    with ms.load(tmp_path) as project:
        project.run()
        card = project.show("late").card
        assert (card["task"], card["rows"]["unlabelled"]) == ("binary", 20)
