"""Which inputs a report looks at: the important ones, also of an algorithm that tells no importance."""

from __future__ import annotations

import numpy as np
import pytest

import mainstem as ms
import mainstem.testing
from mainstem.models.versions.report import interval, text
from mainstem.nodes.records import Measure

NOISE = [f"a{number:02}" for number in range(33)]


def rows(count=240):
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        signal = float(random.normal())
        given = {"id": f"r{number}", "z": signal, "level": "high" if random.random() < 0.5 else "low"}
        target = 6 * signal + (3 if given["level"] == "high" else 0) + float(random.normal())
        found.append(given | {"y": 10_000 * target} | {name: float(random.normal()) / 10 for name in NOISE})
    return found


@pytest.fixture(scope="module", params=["knn", "linear"])
def trained(request):
    schema = {"id": "string", "level": "string", "y": "float64", "z": "float64"} | dict.fromkeys(NOISE, "float64")
    source = ms.files("rows.parquet", key="id", schema=schema)
    model = ms.model(source, target="y", features=[*NOISE, "z", "level"], candidates=[request.param], folds=2)
    with mainstem.testing.project({"rows": source, "found": model}, data={"rows": rows()}) as project:
        project.run()
        yield request.param, project, project.report("found")


def test_the_last_input_is_looked_at_if_it_matters(trained):
    name, _project, report = trained
    found = report.evaluation
    assert found.importances[0].input == "z" and found.importances[0].loss.low > 0
    assert len(found.importances) == 15 and found.inputs == 35 and found.dependence[0].input == "z"
    first = report.card["top_inputs"][0]
    assert first["input"] == "z" and first["share"] > 0.5
    assert sum(each["share"] for each in report.card["top_inputs"]) <= 1.001
    assert ("importances" in report.card["evaluation"]) == (name == "knn")


def test_card_and_report_say_how_many_inputs_were_looked_at(trained):
    _name, project, report = trained
    card = text(report.version, project.adapters.lake_root)
    assert "15 of 35 inputs were shuffled, 30 searched for slices: those with the largest shares" in card
    for shown in (report.html(), report.markdown()):
        assert "15 of 35 inputs were looked at" in shown
    assert "30 of 35 inputs were looked at" in report.html()
    assert report.to_dict()["evaluated"]["inputs"] == 35


def test_the_headline_has_the_digits_of_the_table(trained):
    _name, _project, report = trained
    first = report.card["metrics"]["rmse"]
    headline = report.html().split('class="facts')[1].split("</section>")[0]
    assert first["value"] > 1_000 and f"<strong>{first['value']:,.0f}</strong>" in headline
    assert f"({first['low']:,.0f}–{first['high']:,.0f})" in headline and "e+" not in headline


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((0.501, 0.472, 0.529), "0.501 (0.472–0.529)"),
        ((9.6e-6, 9.1e-6, 1.02e-5), "0.0000096 (0.0000091–0.0000102)"),
        ((0.0012, -0.003, 0.0041), "0.00120 (-0.00300–0.00410)"),
        ((-1e-17, 0.0, -2e-15), "0.000 (0.000–0.000)"),
        ((-0.00004, -0.0002, 0.0132), "0.000 (0.000–0.013)"),
        ((50_547.2, 49_000.0, 52_000.0), "50,547 (49,000–52,000)"),
    ],
)
def test_an_interval_has_the_digits_that_tell_it_from_zero(found, said):
    assert interval(Measure(*found, 10)) == said
