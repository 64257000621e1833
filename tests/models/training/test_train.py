"""From rows to a measured, gated version, with a real engine, lake and state; and what bad data gets."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace

import ibis
import numpy as np
import pytest
from ibis import _

import mainstem as ms
import mainstem.testing
from mainstem.errors import LeakError, MainstemError, ModelError, NotFound, RunFailed
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.training import train
from mainstem.models.versions import comparing, registry
from mainstem.models.versions.report import card, headline, text
from mainstem.nodes.records import Binding, InputColumn, Measure, ModelVersion, Release
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step

N = 1200
BEGIN = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
SCHEMA = {
    "id": "string",
    "at": "timestamp('UTC', 6)",
    "known_at": "timestamp('UTC', 6)",
    "done_at": "timestamp('UTC', 6)",
    "origin": "string",
    "distance": "float64",
    "delay": "float64",
    "kind": "string",
}


def trips(n: int = N, *, unlabelled: int = 50, delay=None, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        at, origin, distance = (
            BEGIN + i * dt.timedelta(hours=1),
            rng.choice(["EWR", "JFK", "LGA"]),
            rng.normal(800, 200),
        )
        late = rng.normal(0, 15) + 20 * (origin == "JFK") + (distance - 800) / 10 if delay is None else delay
        done = i < n - unlabelled
        rows.append(
            {
                "id": f"t{i}",
                "at": at,
                "known_at": at - dt.timedelta(days=2),
                "done_at": at + dt.timedelta(hours=2) if done else None,
                "origin": str(origin) if i % 50 else None,
                "distance": float(distance) if i % 40 else None,
                "delay": float(late) if done else None,
                "kind": "early" if late < -5 else "late" if late > 15 else "on time" if done else None,
            }
        )
        if not done:
            rows[-1]["kind"] = None
    return rows


def project_of(data, target=_.delay > 15, **options):
    """The nodes of a small project, and `data` for its source."""
    known = {"*": "known_at", "delay": "done_at", "done_at": "done_at", "kind": "done_at"}
    source = ms.files("trips.parquet", key="id", time="at", known=known, schema=SCHEMA)
    trip = ms.feature_view(source, key="id", columns=["origin", "distance", "at"])
    uses = [trip, ms.on_demand(far=_.trip__distance > 900, hour=_.trip__at.hour())]
    promote = options.pop("promote", "manual")
    late = ms.model(
        examples=source, prediction_time=_.at - ibis.interval(hours=1), target=target, features=uses, **options
    )
    nodes = {"trips": source, "trip": trip, "late": late, "desk": ms.endpoint(late, promote=promote)}
    return mainstem.testing.project(nodes, data={"trips": data})


def version(project) -> ModelVersion:
    return registry.versions(project.adapters.state, "late")[-1]


@pytest.fixture(scope="module")
def trained():
    with project_of(trips(), promote="gate") as project:
        run = project.run()
        yield project, run, version(project)


def test_a_run_makes_a_challenger_with_its_lineage(trained):
    project, _, made = trained
    release = project.release
    assert release.models == {"late": made.id} and made.number == 1 and made.task == "binary"
    assert made.classes == ("false", "true") and made.metric == "average_precision"
    assert set(made.snapshots) == {"trips", "dataset.late"}
    assert made.snapshots["dataset.late"] == release.tables["dataset.late"].id
    assert made.definitions["late"] == made.fingerprint and {"trips", "trip"} <= set(made.definitions)
    inputs = {column.name: column for column in made.inputs}
    assert set(inputs) == {"trip__origin", "trip__distance", "far", "hour"}, "an instant is no input by itself"
    assert inputs["far"].sources == ("trips.distance",) and inputs["far"].type == "float"
    assert inputs["trip__origin"].type == "string" and inputs["hour"].sources == ("trips.at",)


def test_every_row_is_in_one_split(trained):
    project, _, made = trained
    rows = made.rows
    assert rows["examples"] == N == rows["train"] + rows["gap"] + rows["test"] + rows["unlabelled"]
    assert rows["unlabelled"] == 50 and rows["test"] == 230 and rows["gap"] == 24
    names = ["dataset.late"]
    with project.adapters.engine.session(
        {n: project.adapters.lake.scan(project.release.tables[n]) for n in names}
    ) as session:
        stored = session.fetch('SELECT _split, count(*) n, min(_t) first, max(_t) last FROM "dataset.late" GROUP BY 1')
    found = {row["_split"]: row for row in stored.to_pylist()}
    assert {name: row["n"] for name, row in found.items()} == {
        k: rows[k] for k in ("train", "gap", "test", "unlabelled")
    }
    assert found["test"]["first"] - found["train"]["last"] > dt.timedelta(days=1)
    assert found["train"]["last"] == made.measured_until
    assert found["test"]["last"] == made.trained_until, "the version that ships has learned from the test rows too"


def test_measured_with_intervals_beside_the_naive_one(trained):
    _, _, made = trained
    ours, naive = made.metrics["average_precision"], made.baseline["average_precision"]
    assert naive.value < ours.low < ours.value < ours.high and ours.rows == naive.rows == 230
    assert set(made.metrics) == set(made.baseline) >= {"roc_auc", "log_loss", "brier"}
    assert made.baseline["roc_auc"].value == 0.5
    assert set(made.folds) == {"linear", "lightgbm"} and made.algorithm in made.folds
    assert made.folds[made.algorithm] == max(made.folds.values())


def test_what_was_measured_is_kept(trained):
    """The earlier artifact, on the stored test rows, gives the measured figure again."""
    from mainstem.models.data.columns import rows_of
    from mainstem.models.metrics import average_precision

    project, _, made = trained
    scan = project.adapters.lake.scan(project.release.tables["dataset.late"])
    with project.adapters.engine.session({"dataset.late": scan}) as session:
        test = session.fetch("SELECT * FROM \"dataset.late\" WHERE _split = 'test'")
    directory, rows = project.adapters.lake_root / made.artifact, rows_of(test, made.inputs)
    scores = Scorer.load(directory, "earlier.onnx").score_rows(rows)
    assert not np.array_equal(scores, Scorer.load(directory).score_rows(rows)), "what ships is fitted on all rows"
    value = average_precision(np.asarray(test["_target"].to_pylist(), float), scores)
    assert value == made.metrics["average_precision"].value


def test_the_artifact_describes_itself(trained):
    project, _, made = trained
    directory = project.adapters.lake_root / made.artifact
    assert made.artifact == "models/late/1" and {p.name for p in directory.iterdir()} == {
        "model.onnx",
        "earlier.onnx",
        "evaluation.json",
        "manifest.json",
    }
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256((directory / "model.onnx").read_bytes()).hexdigest()
    assert manifest["earlier"] == {
        "earlier.onnx": hashlib.sha256((directory / "earlier.onnx").read_bytes()).hexdigest()
    }
    assert manifest["gate"]["rows"] > 400 and manifest["gate"]["largest"] <= 1
    assert manifest["run"] == made.run and manifest["versions"]["numpy"]
    assert sum(manifest["importances"].values()) == pytest.approx(1)
    scorer = Scorer.load(directory)
    score = scorer.score({"trip__origin": ["JFK"], "trip__distance": [1200.0], "far": [True], "hour": [3]})
    assert 0.5 < score[0] < 1


def test_the_gate_of_an_endpoint_ships_the_first(trained):
    project, run, made = trained
    assert project.release.endpoints == {"desk": Binding(made.id)}
    assert [step.message for step in run.steps if step.kind == "promote"] == ["late-1 is the first"]


def test_the_card(trained):
    project, run, made = trained
    shown = card(made, project.adapters.lake_root)
    assert json.loads(json.dumps(shown)) == shown, "plain data"
    assert shown["metrics"]["average_precision"]["baseline"] == made.baseline["average_precision"].value
    assert shown["top_inputs"][0]["input"] in ("trip__origin", "trip__distance")
    assert shown["top_inputs"][0]["sources"] in (["trips.origin"], ["trips.distance"])
    printed = text(made, project.adapters.lake_root)
    assert f"{headline(made)}; 50 unlabelled" in [step.message for step in run.steps]
    for part in ("50 unlabelled", "average precision", "true \\ decided", "trip__origin", "1d"):
        assert part in printed
    assert sum(map(sum, shown["confusion"])) == 230 and shown["classes"] == ["false", "true"]


def test_rows_that_stand_in_training_too_are_counted():
    rows = trips()
    rows += [{**row, "id": f"{row['id']} again", "at": row["at"] + dt.timedelta(days=42)} for row in rows[:40]]
    rows = sorted(rows, key=lambda row: row["at"])
    with project_of(rows, candidates=["linear"]) as project:
        project.run()
        told = card(version(project), project.adapters.lake_root)["evaluation"]
        dataset = project.dataset("late").to_pyarrow().to_pylist()
    alike = ("trip__origin", "trip__distance", "far", "hour", "_target")
    known = {tuple(r[c] for c in alike) for r in dataset if r["_split"] == "train"}
    again = sum(tuple(r[c] for c in alike) in known for r in dataset if r["_split"] == "test")
    assert again and told["rows in training and test"] == f"{again}, inputs and target alike"


def test_what_is_assumed_known_is_held_against_the_rows():
    """`delay` is known when the trip is done, two hours after the prediction: in each labelled row."""
    known = {"*": "known_at", "delay": "done_at", "done_at": "done_at", "kind": "done_at"}
    why = {"kind": "a clerk writes it down beforehand"}
    source = ms.files("trips.parquet", key="id", time="at", known=known, schema=SCHEMA)
    trip = ms.feature_view(source, key="id", columns=["origin", "distance", "kind"], assume_known=why)
    late = ms.model(
        examples=source,
        prediction_time=_.at - ibis.interval(hours=1),
        target=_.delay > 15,
        features=[trip],
        candidates=["linear"],
        assume_known={"trip__kind": "it predicts well, and the clerk knows why"},
    )
    with mainstem.testing.project({"trips": source, "trip": trip, "late": late}, data={"trips": trips()}) as project:
        project.run()
        told = card(version(project), project.adapters.lake_root)["evaluation"]
    assert told["assume_known trip__kind"] == "by its own clock known too late in 1,150 of 1,150 examples"


def test_a_leak_that_only_rows_can_tell_is_refused_before_training():
    """Ten trips were booked after what is taken for the time of prediction; of one the distance is null."""
    known = {"*": "known_at", "delay": "done_at", "done_at": "done_at", "kind": "done_at"}
    source = ms.files("trips.parquet", key="id", time="at", known=known, schema=SCHEMA)
    late = ms.model(
        examples=source, prediction_time=_.at, target=_.delay > 15, features=["distance"], candidates=["linear"]
    )
    rows = [{**row, "known_at": row["at"] + dt.timedelta(hours=1)} if i < 10 else row for i, row in enumerate(trips())]
    with mainstem.testing.project({"trips": source, "late": late}, data={"trips": rows}) as project:
        with pytest.raises(RunFailed) as caught:
            project.run()
        (cause,) = caught.value.causes
        assert isinstance(cause, LeakError) and "'distance' leaks: in 9 of 1,150 labelled examples" in cause.what
        assert registry.versions(project.adapters.state, "late") == []


def context_of(project) -> Context:
    adapters = project.adapters
    return Context("again", "main", project.graph, project.release, adapters.engine, adapters.lake, adapters.state)


def trained_again(project, monkeypatch, **changes) -> Context:
    """A second version, of the model as `changes` would have it; the run's context, with it as the challenger."""
    context, resolve = context_of(project), train.blueprint_of

    def changed(graph, name):
        found = resolve(graph, name)
        return replace(found, model=replace(found.model, **changes))

    with monkeypatch.context() as patch:
        patch.setattr(train, "blueprint_of", changed)
        step = Step("train", "late", "again")
        context.absorb(step, train.Train(project.adapters.lake_root)(step, context))
    return context


def test_a_challenger_that_is_no_better_stays_one(monkeypatch):
    with project_of(trips(800), promote="gate") as project:
        project.run()
        context = trained_again(project, monkeypatch, candidates=("naive",))
        promote, step = registry.Promote(project.adapters.lake_root), Step("promote", "desk", "")
        outcome = promote(step, context)
        assert outcome.endpoints == {} and outcome.message.startswith("late-1 stays: average precision 0.")
        assert "gain -0." in outcome.message
        old, new = registry.versions(context.records, "late")
        with context.session(["dataset.late"]) as session:
            evidence = comparing.compare(session, project.adapters.lake_root, old, new)
        assert evidence.champion.value == pytest.approx(old.metrics["average_precision"].value)
        assert evidence.gain.rows == old.metrics["average_precision"].rows
        assert evidence.gain.value == pytest.approx(evidence.challenger.value - evidence.champion.value)


def test_a_challenger_that_is_better_ships(monkeypatch):
    with project_of(trips(800), candidates=("naive",), promote="gate") as project:
        project.run()
        context = trained_again(project, monkeypatch, candidates=("linear",))
        promote, step = registry.Promote(project.adapters.lake_root), Step("promote", "desk", "")
        outcome = promote(step, context)
        assert outcome.endpoints == {"desk": Binding("late-2")} and outcome.message.startswith(
            "late-2 ships: average precision"
        )
        context.absorb(step, outcome)
        assert registry.champion(context.records, context.release, "desk").id == "late-2"
        assert registry.challenger(context.records, context.release, "late").id == "late-2"
        assert promote(step, context).message == "late-2 is already the champion"


def test_rows_that_the_champion_was_trained_on_are_no_evidence(monkeypatch):
    with project_of(trips(1200), test=0.1, promote="gate") as project:
        project.run()
        context = trained_again(project, monkeypatch, test=0.5)
        with context.session(["dataset.late"]) as session:
            old, new = registry.versions(context.records, "late")
            evidence = comparing.compare(session, project.adapters.lake_root, old, new)
            assert evidence.gain.rows < old.rows["test"] + 30 < new.rows["test"]
            late = replace(old, measured_until=BEGIN + dt.timedelta(days=900))
            with pytest.raises(ModelError, match="too few rows that neither"):
                comparing.compare(session, project.adapters.lake_root, late, new)
            other = replace(old, inputs=(InputColumn("gone", "float"),))
            with pytest.raises(ModelError, match="lacks columns") as error:
                comparing.compare(session, project.adapters.lake_root, other, new)
            assert error.value.got == "gone"
            with pytest.raises(ModelError, match="predict different targets"):
                comparing.compare(session, project.adapters.lake_root, replace(old, task="regression"), new)


def test_an_unknown_version(trained):
    with pytest.raises(NotFound, match="'late-9'") as error:
        registry.get(trained[0].adapters.state, "late-9")
    assert "late-1" in error.value.hint


def test_the_same_seed_gives_the_same_model(monkeypatch):
    with project_of(trips(600)) as project:
        project.run()
        context = trained_again(project, monkeypatch)
        first, second = registry.versions(context.records, "late")
        assert (first.number, second.number) == (1, 2)
        scores = [
            Scorer.load(project.adapters.lake_root / v.artifact).score(
                {"trip__origin": ["JFK", None], "trip__distance": [900.0, 1.0], "far": [False, True], "hour": [3, 4]}
            )
            for v in (first, second)
        ]
        assert (scores[0] == scores[1]).all() and first.metrics == second.metrics


@pytest.mark.parametrize(
    ("target", "task", "metric"), [(_.kind, "multiclass", "log_loss"), (_.delay, "regression", "rmse")]
)
def test_other_tasks(target, task, metric):
    with project_of(trips(600), target, candidates=("lightgbm",)) as project:
        project.run()
        made = version(project)
        assert (made.task, made.metric) == (task, metric)
        assert made.classes == (("early", "late", "on time") if task == "multiclass" else ())
        assert made.metrics[metric].high < made.baseline[metric].value, "a smaller loss"
        inputs = {"trip__origin": ["JFK", None], "trip__distance": [1200.0, None], "far": [True, None], "hour": [3, 4]}
        score = Scorer.load(project.adapters.lake_root / made.artifact).score(inputs)
        assert score.shape == ((2, 3) if task == "multiclass" else (2,))
        if task == "multiclass":
            assert score.sum(1) == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (trips(100, unlabelled=100), {}, "no row has a known target"),
        (trips(200, delay=60.0), {}, "only one class"),
        (trips(200, delay=60.0), {"target": _.delay}, "constant"),
        (trips(60, unlabelled=10), {}, "too few labelled rows"),
        (trips(200, unlabelled=0), {"gap": "30d"}, "too few labelled rows"),
        (trips(200), {"metric": "rmse"}, "unknown binary metric 'rmse'"),
        (trips(200), {"metric": "aucc"}, "unknown binary metric 'aucc'"),
        (trips(200), {"candidates": ("lihgtgbm",)}, "did you mean 'lightgbm'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_learnt_says_why(data, options, said):
    with project_of(data, **options) as project:
        with pytest.raises(MainstemError) as error:
            project.run()
        assert said in str(error.value), str(error.value)
        assert registry.versions(project.adapters.state, "late") == []
        assert not (project.adapters.lake_root / "models").exists()


@pytest.mark.parametrize("metric", ["average_precision", "log_loss"])
@pytest.mark.parametrize("delay", [0.0, 60.0])
def test_test_rows_of_one_class_publish_no_model(delay, metric):
    data = trips(400)
    for row in data[280:]:
        row["delay"] = row["delay"] and delay
    with project_of(data, metric=metric) as project:
        with pytest.raises(RunFailed) as error:
            project.run()
        assert "the test rows have only one class" in str(error.value)
        assert registry.versions(project.adapters.state, "late") == []


def test_the_target_among_the_inputs():
    data = trips(300)
    for row in data:
        row["distance"] = row["delay"]
    with project_of(data, _.delay) as project, pytest.raises(RunFailed, match="nothing was published") as error:
        project.run()
    assert "'trip__distance' is the target itself" in str(error.value)


@pytest.mark.parametrize("moment", ["fold 2", "measured", "linear on all"])
def test_an_interrupt_leaves_nothing_behind(monkeypatch, moment):
    with project_of(trips(400)) as project:

        def interrupt(step: Step, message: str) -> None:
            if message.startswith(moment):
                raise KeyboardInterrupt

        before = project.release
        learn = train.learn
        monkeypatch.setattr(train, "learn", lambda *args: learn(*args[:-1], lambda message: interrupt(None, message)))
        with pytest.raises(KeyboardInterrupt):
            project.run()
        assert project.release.models == before.models == {}
        assert registry.versions(project.adapters.state, "late") == []
        assert not list((project.adapters.lake_root).glob("models/**/*"))
        monkeypatch.undo()
        project.run()
        assert version(project).number == 1


def test_an_interrupt_while_saving(monkeypatch):
    from mainstem.models.artifact import export

    with project_of(trips(400), candidates=("linear",)) as project:
        write = export._write
        monkeypatch.setattr(
            export,
            "_write",
            lambda path, content: (
                write(path, content) or (_ for _ in ()).throw(KeyboardInterrupt)
                if path.name == "manifest.json"
                else write(path, content)
            ),
        )
        with pytest.raises(KeyboardInterrupt):
            project.run()
        assert [p.name for p in (project.adapters.lake_root / "models" / "late").iterdir()] == []
        monkeypatch.undo()
        project.run()
        assert version(project).artifact == "models/late/1"


def test_a_number_that_a_crash_used_is_not_given_again():
    with project_of(trips(400), candidates=("linear",)) as project:
        (project.adapters.lake_root / "models" / "late" / "4").mkdir(parents=True)
        project.run()
        assert version(project).number == 5


def test_promote_is_pure():
    before = Release("rel-1", "main", "run-1", None, endpoints={"other": Binding("x-1")})
    after = registry.promote(before, "desk", "late-2")
    assert after.endpoints == {"other": Binding("x-1"), "desk": Binding("late-2")}
    assert before.endpoints == {"other": Binding("x-1")}
    assert after.parent == "rel-1" and after.id != before.id


def test_evidence_needs_its_whole_interval_above_nothing():
    def gain(low):
        return comparing.Evidence("roc_auc", _M, _M, Measure(0.02, low, 0.04, 500))

    assert gain(0.001).suffices and not gain(0.0).suffices and not gain(-0.001).suffices
    assert str(gain(0.001)) == "roc auc 0.700 → 0.700, gain 0.020 (0.001–0.040) on 500 rows"


_M = Measure(0.7, 0.6, 0.8, 500)
