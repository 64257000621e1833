"""What a training keeps of its measurement: for every task, with thresholds and slices, and as a report."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pytest
from ibis import _
from sklearn import metrics as sk

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, ModelError, NotFound, RunFailed, UnknownName
from mainstem.models.artifact import evaluation
from mainstem.models.artifact.manifest import read
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.columns import rows_of
from mainstem.models.metrics import METRICS
from mainstem.models.versions.report import interval, number
from mainstem.models.versions.report import text as model_card
from mainstem.project.resolve import resolve

SCHEMA = {
    "id": "string",
    "sold_at": "timestamp('UTC', 6)",
    "amount": "float64",
    "country": "string",
    "noise": "float64",
    "kind": "string",
    "late": "boolean",
    "price": "float64",
}
START = datetime(2025, 1, 1, tzinfo=UTC)


def orders(n=900, seed=0):
    """Lateness depends on amount and country, but in <IT> it is luck."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        amount, country = float(rng.exponential(80)), str(rng.choice(["DE", "FR", "<IT>"]))
        chance = 0.5 if country == "<IT>" else 0.9 if amount > 90 else 0.1
        kind = "a" if amount < 40 else "b" if country == "DE" else "c"
        rows.append(
            {
                "id": f"o{i}",
                "sold_at": START + timedelta(hours=2 * i),
                "amount": amount,
                "country": country,
                "noise": float(rng.normal()),
                "kind": kind if rng.random() < 0.8 else "b",
                "late": bool(rng.random() < chance),
                "price": amount * (2 if country == "DE" else 1) + float(rng.normal(0, 5)),
            }
        )
    return rows


def opened(target="late", rows=None, *, timed=False, **options):
    known = {"*": "sold_at", **dict.fromkeys(("late", "price", "kind"), _.sold_at + ibis.interval(hours=1))}
    source = ms.files("orders.parquet", key="id", time="sold_at", known=known, schema=SCHEMA)
    if timed:
        options = {"prediction_time": _.sold_at + ibis.interval(minutes=1), "gap": "2h", **options}
    model = ms.model(source, target=target, features=["amount", "country", "noise"], **options)
    nodes = {"orders": source, "verdict": model, "desk": ms.endpoint(model)}
    return mainstem.testing.project(nodes, data={"orders": orders() if rows is None else rows})


def stored(project):
    """The rows that measured the version, with their out-of-sample scores by the kept artifacts."""
    made = project.report("verdict").version
    scan = project.adapters.lake.scan(project.release.tables["dataset.verdict"])
    with project.adapters.engine.session({"dataset.verdict": scan}) as session:
        rows = session.fetch("SELECT * FROM \"dataset.verdict\" WHERE _split = 'test' OR _split LIKE 'fold%'")
    directory, inputs = project.adapters.lake_root / made.artifact, rows_of(rows, made.inputs)
    parts = np.array(rows["_split"].to_pylist())
    scores = np.empty(len(rows))
    for part in set(parts):
        some = np.flatnonzero(parts == part)
        file = "earlier.onnx" if part == "test" else f"fold-{part[-1]}.onnx"
        scores[some] = Scorer.load(directory, file).score_rows(inputs.take(some))
    return np.asarray(rows["_target"].to_pylist()), scores


@pytest.fixture(scope="module")
def timed():
    with opened(
        timed=True, slices=["country", ("country", "noise")], threshold=ms.threshold("recall >= 0.7")
    ) as project:
        project.run()
        project.promote("verdict")
        yield project


def test_a_timed_binary_version_keeps_everything(timed):
    found = timed.report("verdict").evaluation
    y, scores = stored(timed)
    assert found.rows == len(y)
    (curve,) = found.curves
    area = np.trapezoid([0, *curve.recall], [0, *curve.fallout])
    assert area == pytest.approx(sk.roc_auc_score(y, scores), abs=0.02)
    assert sum(b.rows for b in found.calibration[0].bins) == len(y)
    assert [h.label for h in found.histograms] == ["false", "true"]
    lines = [(span.line, span.part) for span in found.timeline]
    assert lines[:3] == [("version", "train"), ("version", "gap"), ("version", "test")] and ("fold 3", "test") in lines
    train, _, test = found.timeline[:3]
    assert train.end < test.start and test.rows == len(y)
    assert {s.candidate for s in found.leaderboard} == {"linear", "lightgbm"}
    assert all(s.mean.low <= s.mean.value <= s.mean.high and s.seconds > 0 for s in found.leaderboard)
    means = {s.candidate: pytest.approx(s.mean.value) for s in found.leaderboard}
    assert timed.report("verdict").version.folds == means == timed.report("verdict").card["means"]
    assert found.leaderboard[0].mean.value >= found.leaderboard[1].mean.value
    assert len(found.stability) == 3 and sum(b.measure.rows for b in found.stability) == len(y)
    assert found.cost.single > 0 and found.cost.bytes > 100


def test_importances_tell_signal_from_noise(timed):
    found = {each.input: each.loss for each in timed.report("verdict").evaluation.importances}
    assert found["amount"].low > 0 and found["amount"].value > 3 * abs(found["noise"].value)
    assert found["noise"].low <= 0.02


def test_the_effect_of_the_amount_rises(timed):
    effects = {each.input: each for each in timed.report("verdict").evaluation.dependence}
    (line,) = effects["amount"].lines
    assert line.mean[-1] - line.mean[0] > 0.2 and len(effects["amount"].values) <= 15
    assert set(effects["country"].values) == {"DE", "FR", "<IT>"}


def test_the_threshold_was_set_on_validation_rows_and_measured_on_the_test(timed):
    report = timed.report("verdict")
    found = report.evaluation.decisions
    y, scores = stored(timed)
    assert found.rule == "recall >= 0.7" and found.expected["recall"] >= 0.7
    flagged = scores >= found.threshold
    assert found.measured["recall"].value == pytest.approx(sk.recall_score(y, flagged))
    assert found.measured["precision"].value == pytest.approx(sk.precision_score(y, flagged))
    assert found.confusion == tuple(map(tuple, sk.confusion_matrix(y, flagged).tolist()))
    span = {s.part: s.rows for s in report.evaluation.timeline if s.line == "fold 1"}
    assert found.validation > span["test"] and found.validation < report.version.rows["train"]
    assert "recall >= 0.7" in report.card["evaluation"]["threshold"]


def test_predictions_are_decided_by_the_threshold_of_the_version(timed):
    threshold = timed.report("verdict").evaluation.decisions.threshold
    rows = [{"amount": float(a), "country": "DE", "noise": 0.0} for a in (1, 30, 60, 120, 400)]
    answers = timed.predict("desk", rows)
    assert [a["decision"] for a in answers] == [a["score"] >= threshold for a in answers]
    assert {a["decision"] for a in answers} == {True, False}
    assert [a["decision"] for a in timed.predict("verdict", rows)] == [a["decision"] for a in answers]


def test_declared_slices_are_in_the_report_with_what_is_found(timed):
    found = timed.report("verdict").evaluation.slices
    assert {s.where for s in found.declared} >= {"country = DE", "country = FR", "country = <IT>"}
    assert found.tested >= 10


def test_the_page_is_one_file_of_valid_pictures(timed):
    report = timed.report("verdict")
    html = report.html()
    assert not re.search(r"<script|<link rel=.stylesheet|src=|url\(|https?://", html)
    pictures = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(pictures) >= 9
    for picture in pictures:
        ET.fromstring(picture)
        assert "nan" not in picture.lower() and "inf" not in picture.replace("info", "")
    assert "&lt;IT&gt;" in html and "<IT>" not in html
    for heading in ("Leaderboard", "Scores", "Decisions", "Over time", "Slices", "Effects", "Limits", "Data"):
        assert f"<h2>{heading}</h2>" in html
    assert "Splits on the time axis" in html and "orders" in html
    assert len(html) < 400_000
    assert "srcdoc=" in report._repr_html_()


def test_the_report_as_markdown_and_json(timed):
    report = timed.report("verdict-1")
    text = report.markdown()
    assert text.startswith("# verdict-1\n") and "| average precision |" in text and "## Decisions" in text
    found = json.loads(json.dumps(report.to_dict()))
    assert found["evaluated"]["rows"] == report.evaluation.rows and found["limits"]
    assert found["declared"]["target"] == "_.late" or "late" in found["declared"]["target"]
    assert {each["name"] for each in found["data"]} == {"orders", "dataset.verdict"}
    assert timed.report("desk").version.id == "verdict-1"


def test_markdown_has_the_splits_on_the_time_axis(timed):
    report = timed.report("verdict-1")
    told = table_of(report.markdown(), "Splits on the time axis")
    assert len(told) == len(report.evaluation.timeline) and {row[1] for row in told} >= {"train", "test"}
    (test,) = (each for each in report.evaluation.timeline if each.part == "test" and each.line == told[0][0])
    (row,) = (row for row in told if row[:2] == [test.line, "test"])
    assert row[2:] == [f"{test.start:%Y-%m-%d %H:%M}", f"{test.end:%Y-%m-%d %H:%M}", f"{test.rows:,}"]
    assert test.rows == report.card["rows"]["test"]


def table_of(markdown: str, heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading."""
    below = markdown.split(f"## {heading}\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in below[2:]]


def test_what_has_no_report(timed):
    with pytest.raises(UnknownName, match="unknown model or version 'verdikt'") as error:
        timed.report("verdikt")
    assert "verdict" in error.value.hint


def test_show_tells_the_card_of_a_version_by_its_id(timed):
    assert timed.show("verdict-1").card["id"] == "verdict-1"


def test_an_explanation_adds_up_to_the_score(timed):
    rows = [{"amount": 300.0, "country": "DE", "noise": 0.0}, {"amount": 2.0, "country": None, "noise": None}]
    high, low = timed.explain("desk", rows)
    for found, answer in zip((high, low), timed.predict("desk", rows), strict=True):
        assert found.score == answer["score"]
        assert found.base + sum(c.effect for c in found.contributions) == pytest.approx(found.score, abs=1e-9)
    above, below = ({c.input: c for c in found.contributions} for found in (high, low))
    assert above["amount"].effect > 0.03 > 0 > below["amount"].effect
    assert above["amount"].sources == ("orders.amount",) and above["amount"].value == 300.0
    assert next(iter(below)) == "amount" and high.background == 100
    assert timed.explain("desk", rows) == [high, low], "the same rows have the same explanation"
    assert "amount" in high._repr_html_()


def test_an_evaluation_that_was_changed_is_refused(timed):
    report = timed.report("verdict")
    directory = timed.adapters.lake_root / report.version.artifact
    file, content = directory / evaluation.EVALUATION, (directory / evaluation.EVALUATION).read_bytes()
    assert len(content) < 100_000
    try:
        file.write_bytes(content.replace(b"amount", b"AMOUNT"))
        with pytest.raises(ModelError, match="not the one its manifest describes"):
            timed.report("verdict")
        file.unlink()
        with pytest.raises(ModelError, match="cannot be read"):
            evaluation.read(directory, read(directory))
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("target", "labels"),
    [("kind", ["a", "b", "c"]), ("price", []), ("late", ["true"])],
    ids=["multiclass", "regression", "binary"],
)
def test_a_table_without_time(target, labels):
    with opened(target, orders(300), threshold=0.4 if target == "late" else None) as project:
        project.run()
        report = project.report("verdict")
        found = report.evaluation
        assert found.rows == 300 and not found.timeline and not found.stability
        assert [curve.label for curve in found.curves] == labels
        assert (found.residuals is not None) == (target == "price")
        assert found.importances[0].input in ("amount", "country") and found.importances[0].loss.low > 0
        html = report.html()
        assert all("nan" not in picture.lower() for picture in re.findall(r"<svg.*?</svg>", html, re.S))
        assert "Leaks were not checked by time" in html and report.markdown()
        (told,) = project.explain("verdict", [{"amount": 10.0, "country": "DE", "noise": 0.0}])
        assert told.base + sum(c.effect for c in told.contributions) == pytest.approx(told.score, abs=1e-6)
        assert told.label in ((None,) if target != "kind" else labels)
        assert html.count('class="n cell right"') == (len(labels) if target == "kind" else 2 if target == "late" else 0)
        if target == "late":
            y, scores = stored(project)
            assert found.decisions.confusion == tuple(map(tuple, sk.confusion_matrix(y, scores >= 0.4).tolist()))
            told = table_of(report.markdown(), "By threshold")
            kept = {number(each): each for each in found.curves[0].thresholds}
            assert 10 <= len(told) <= 11 and sum("(decides)" in row[0] for row in told) == 1
            for name, precision, recall, fallout in told:
                decided = scores >= (0.4 if "decides" in name else kept[name])
                (tn, fp), (fn, tp) = sk.confusion_matrix(y, decided)
                assert (precision, recall) == (f"{tp / (tp + fp):.3f}", f"{tp / (tp + fn):.3f}")
                assert fallout == f"{fp / (fp + tn):.3f}"
            # A constant ranks nothing: its area is ½ and its average precision the base rate, also over folds.
            assert report.version.baseline["roc_auc"].value == 0.5
            assert report.version.baseline["average_precision"].value == pytest.approx(y.mean())


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        (ms.threshold(cost={"false_positive": 1, "false_negative": 4, "true_positive": -0.5}), "cost"),
        (ms.threshold("fallout <= 0.2"), "fallout"),
        (ms.threshold("flagged <= 0.3"), "flagged"),
    ],
    ids=["cost", "fallout", "flagged"],
)
def test_what_a_rule_asks_for_is_measured_beside_validation_and_half(rule, asked):
    with opened(timed=True, threshold=rule) as project:
        project.run()
        report = project.report("verdict")
        y, scores = stored(project)
        found = report.evaluation.decisions

        def of(flagged):
            cost = (flagged & ~y) * 1.0 + (~flagged & y) * 4.0 - (flagged & y) * 0.5
            return {"cost": cost.mean(), "fallout": flagged[~y].mean(), "flagged": flagged.mean()}[asked]

        measure = found.measured[asked]
        assert next(iter(found.measured)) == asked and measure.value == pytest.approx(of(scores >= found.threshold))
        assert measure.low < measure.value < measure.high
        assert found.half[asked].value == pytest.approx(of(scores >= 0.5))
        assert found.half["recall"].value == pytest.approx(sk.recall_score(y, scores >= 0.5))
        row = f"{asked}  {interval(measure)}  {number(found.expected[asked])}  {interval(found.half[asked])}"
        card = model_card(report.version, project.adapters.lake_root)
        for text in (card, report.markdown().replace("|", " "), re.sub("<[^>]*>", " ", report.html())):
            assert row.split() in [line.split()[: len(row.split())] for line in _lines(text, asked)]
        assert report.to_dict()["evaluated"]["decisions"]["measured"][asked]["value"] == measure.value


def _lines(text, word):
    """What follows each occurrence of a word."""
    return [text[found.start() :] for found in re.finditer(word, text)]


def test_a_bound_that_no_threshold_keeps_fails_the_run():
    with opened(rows=orders(200), threshold=ms.threshold("flagged <= 0.0001")) as project:
        with pytest.raises(RunFailed) as error:
            project.run()
        assert "no threshold keeps flagged <= 0.0001 on the validation rows" in str(error.value)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"target": "price", "threshold": 0.5}, DefinitionError, "requires a binary task"),
        ({"also_measure": ["weighted_f"]}, UnknownName, "did you mean 'weighted_f1'"),
        ({"also_measure": ["rmse"]}, UnknownName, "unknown binary metric 'rmse'"),
        ({"slices": ["contry"]}, UnknownName, "did you mean 'country'"),
        ({"slices": [("country", "price")]}, UnknownName, "unknown input of the model in `slices` 'price'"),
    ],
)
def test_what_does_not_fit_is_refused_at_load(options, error, said):
    source = ms.files("orders.parquet", key="id", schema=SCHEMA)
    model = ms.model(source, features=["amount", "country"], **{"target": "late", **options})
    with pytest.raises(error) as found:
        resolve({"orders": source, "verdict": model}, {})
    assert said in str(found.value) and "test_evaluated.py" in str(found.value)


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 1.5},
        {"threshold": "high"},
        {"slices": 3},
        {"slices": ["a", "a"]},
        {"also_measure": "f1"},
        {"also_measure": ["f1", "f1"]},
        {"also_measure": [len]},
    ],
)
def test_what_no_declaration_takes(options):
    with pytest.raises(DefinitionError) as error:
        ms.model("orders", target="late", features="all", **options)
    assert next(iter(options)) in str(error.value) or "slices" in str(error.value)


def test_several_metrics_do_not_judge():
    with pytest.raises(DefinitionError, match="`metric` is one metric") as error:
        ms.model("orders", target="late", features="all", metric=["f1", "recall"])
    assert "also_measure" in error.value.hint


def test_a_metric_of_ones_own_judges_a_model():
    @ms.metric(higher_is_better=False)
    def late_cost(y, scores):
        flagged = scores >= 0.3
        return float((5 * (~flagged & (y == 1)) + (flagged & (y == 0))).mean())

    try:
        with opened(rows=orders(200), metric=late_cost) as project:
            project.run()
            made = project.report("verdict").version
            y, scores = stored(project)
            assert made.metric == "late_cost" and made.metrics["late_cost"].value == pytest.approx(late_cost(y, scores))
            assert not project.plan().steps
    finally:
        METRICS.pop("late_cost")


def test_further_metrics_are_measured_and_choose_nothing():
    @ms.metric(higher_is_better=True)
    def flagged_right(y, scores):
        return float((y[scores >= 0.3] == 1).mean()) if (scores >= 0.3).any() else 0.0

    try:
        with opened(rows=orders(200), also_measure=["weighted_f1", flagged_right]) as project:
            project.run()
            report = project.report("verdict")
            y, scores = stored(project)
            found = report.version.metrics
            assert report.version.metric == "average_precision"
            assert report.to_dict()["declared"]["also measured"] == "weighted_f1, flagged_right"
            assert found["flagged_right"].value == pytest.approx(flagged_right(y, scores))
            expected = sk.f1_score(y, scores >= 0.5, average="weighted")
            assert found["weighted_f1"].value == pytest.approx(expected) and "micro_f1" not in found
            assert "| flagged right |" in report.markdown() and "weighted f1" in report.html()
            assert report.to_dict()["metrics"]["weighted_f1"]["value"] == found["weighted_f1"].value
            assert not project.plan().steps
    finally:
        METRICS.pop("flagged_right")


def test_several_classes_have_precision_recall_and_areas():
    with opened("kind", rows=orders(300)) as project:
        project.run()
        report = project.report("verdict")
        found, classes = report.version.metrics, report.to_dict()["by_class"]
        card = model_card(report.version, project.adapters.lake_root)
    assert [each["label"] for each in classes] == ["a", "b", "c"] and sum(each["rows"] for each in classes) == 300
    row = ["b", *(f"{classes[1][name]:,}" for name in ("rows", "decided"))]
    row += [f"{classes[1][name]:.3f}" for name in ("precision", "recall", "f1")]
    for text in (card, report.markdown().replace("|", " "), re.sub("<[^>]*>", " ", report.html())):
        assert row in [line.split()[:6] for line in _lines(text, r"\bb\b")]
    assert {"macro_precision", "macro_recall", "macro_f1", "macro_roc_auc"} <= set(found)
    assert found["macro_recall"].value == pytest.approx(np.mean([each["recall"] for each in classes]))


def test_many_classes_show_the_most_confused_pairs():
    rows = [
        {**row, "kind": f"k{number * 7 % 14 if row['noise'] > 1 else number % 14:02}", "amount": number % 14 * 10.0}
        for number, row in enumerate(orders(420))
    ]
    with opened("kind", rows=rows, candidates=["decision_tree"]) as project:
        project.run()
        report = project.report("verdict")
        pairs = report.card["confused"]
        assert pairs and len(report.card["by_class"]) == 14 and pairs[0]["rows"] >= pairs[-1]["rows"]
        card = model_card(report.version, project.adapters.lake_root)
        assert "and 2 classes with fewer rows: --json has all" in card and "of the true class" in card
        assert "<h2>Most confused classes</h2>" in report.html() and "## Most confused classes" in report.markdown()
        html = report.html()
        assert "Confusion matrix" not in html and "The 6 most frequent of 14 classes" in html
        (roc,) = re.findall(r'aria-label="ROC curve".*?</svg>', html, re.S)
        assert roc.count("<polyline") == 6


def test_erased_rows_explain_no_more():
    with opened(rows=orders(90)) as project:
        project.run()
        asked = [{"amount": 10.0, "country": "DE", "noise": 0.0}]
        (before,) = project.explain("verdict", asked)
        project.erase("id", "o5")
        (found,) = project.explain("verdict", asked)
        assert (before.background, found.background) == (90, 89) and found.score == before.score
        assert found.base + sum(c.effect for c in found.contributions) == pytest.approx(found.score, abs=1e-9)


def test_a_version_without_evaluation_says_so(timed, tmp_path):
    report = timed.report("verdict")
    old = tmp_path / "old"
    old.mkdir()
    source = timed.adapters.lake_root / report.version.artifact / "manifest.json"
    manifest = json.loads(source.read_text())
    del manifest["evaluated"], manifest["threshold"]
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert evaluation.read(old, read(old)) is None


def test_a_model_that_was_never_trained():
    with opened(rows=orders(60)) as project:
        with pytest.raises(NotFound, match="'verdict' has no version yet"):
            project.report("verdict")
        with pytest.raises(NotFound, match="'desk' has no version yet"):
            project.report("desk")
