"""`mainstem show MODEL`: a card that can be read, its JSON, and versions whose model is no longer declared."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mainstem as ms
from mainstem.cli.app import app

DECLARED = """
import mainstem as ms
from ibis import _

trips = ms.files("trips.csv", key="id", time="at", known={"*": "at", "late": "at"})
"""
MODEL = """
delay = ms.model(trips, target=_.late, features=["miles", "carrier"], candidates=["linear", "lightgbm"],
    slices=["carrier"], test=0.25)
"""
WIDEST = 160


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("card")
    random = np.random.default_rng(5)
    lines = ["id,at,miles,carrier,late"]
    for n in range(600):
        miles, carrier = random.uniform(50, 2_000), str(random.choice(["AA", "UA", "DL"]))
        late = random.random() < (0.7 if carrier == "AA" and miles > 1_000 else 0.2)
        day = f"2024-{1 + n // 60:02}-{1 + n % 28:02}T00:00:00Z"
        lines.append(f"t{n},{day},{miles:.1f},{carrier},{str(late).lower()}")
    (place / "trips.csv").write_text("\n".join(lines))
    (place / "mainstem.toml").write_text('[project]\nname = "p"\nmodules = ["p"]\n')
    (place / "p.py").write_text(DECLARED + MODEL)
    with ms.load(place) as project:
        project.run()
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path):
    """A copy, of which a test may change the files."""
    return shutil.copytree(trained, tmp_path / "project")


def shown(place: Path, *args: str) -> str:
    found = CliRunner().invoke(app, ["show", *args, "--project", str(place)])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_the_card_has_the_report_in_short_limits_first(trained):
    text = shown(trained, "delay")
    with ms.load(trained) as project:
        report = project.report("delay")
    kept = report.evaluation
    assert text.index("limits") < text.index("value (95 % interval)")
    assert all(re.sub(r"\s+", " ", each) in re.sub(r"\s+", " ", text) for each in report.limits)
    for standing in kept.leaderboard:
        (line,) = (each for each in text.splitlines() if each.startswith(f"  {standing.candidate} "))
        assert f"({standing.mean.low:.3f}–{standing.mean.high:.3f})" in line and f"{standing.seconds:.2f} s" in line
    lost = {each.input: each.loss for each in kept.importances}
    (line,) = (each for each in text.splitlines() if each.startswith("  miles") and "trips.miles" in each)
    assert f"{lost['miles'].value:.3f} ({lost['miles'].low:.3f}–{lost['miles'].high:.3f})" in line
    (line,) = (each for each in text.splitlines() if "learning curve" in each)
    assert all(f"from {point.rows:,} rows" in line for point in kept.learning)
    assert f"{kept.cost.single:,.0f} µs alone" in text
    assert [each.where for each in kept.slices.declared]
    assert all(f"  {each.where}: " in text for each in kept.slices.declared)


def test_no_line_of_a_card_is_endless(place):
    (file,) = place.rglob("models/delay/1/manifest.json")
    manifest = json.loads(file.read_text())
    names = ["lightgbm 3", "extra_trees 7", "linear", "xgboost 12", "mlp 2"]
    settings = {f"setting_number_{n}": n / 7 for n in range(9)}
    manifest["settings"] = {name: {"weight": 0.2, "algorithm": name.split()[0], **settings} for name in names}
    manifest["evaluation"]["search"] = "words " * 100
    manifest["inputs"][0]["sources"] = [f"trips.column_number_{n}" for n in range(40)]
    file.write_text(json.dumps(manifest))
    for name in ("delay", "delay-1"):
        lines = shown(place, name).splitlines()
        assert max(map(len, lines)) <= WIDEST, max(lines, key=len)
        members = [line for line in lines if re.search(r"(settings)?\s+(.+): weight 0\.2, algorithm", line)]
        assert [line.removeprefix("  settings").strip().split(":")[0] for line in members] == names


def test_json_has_the_report_as_the_card(trained):
    for name in ("delay", "delay-1"):
        found = json.loads(shown(trained, name, "--json"))
        with ms.load(trained) as project:
            report = project.report(name).to_dict()
            assert project.show(name).card == report
        assert found["card"] == json.loads(json.dumps(report)) and found["card"]["limits"]
        assert found["card"]["declared"]["target"] == "_.late" and found["card"]["data"][0]["name"] == "trips"
        assert [version["id"] for version in found["versions"]] == ["delay-1"]


def test_a_version_whose_model_is_no_longer_declared(place):
    (place / "p.py").write_text(DECLARED)
    text = shown(place, "delay-1")
    assert text.splitlines()[0] == "delay  model  no longer declared" and "delay-1   binary, " in text
    found = json.loads(shown(place, "delay-1", "--json"))
    assert found["card"]["id"] == "delay-1" and found["versions"][0]["id"] == "delay-1"
    assert shown(place, "delay-1", "--html", str(place / "delay.html")).startswith("wrote ")
    (place / "p.py").write_text(DECLARED + "\ndelay = ms.feature_view(trips, key='id', columns=['miles'])\n")
    assert shown(place, "delay-1").splitlines()[0] == "delay  model  no longer declared"
    unknown = CliRunner().invoke(app, ["show", "delay-9", "--project", str(place)])
    assert unknown.exit_code == 2 and "delay-9" in unknown.output


def test_a_card_from_before_evaluations_were_kept(place):
    (file,) = place.rglob("models/delay/1/manifest.json")
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "evaluated": ""}))
    text = shown(place, "delay")
    assert "  - It was trained before evaluations were kept: train it again for curves and effects." in text
    (line,) = (each for each in text.splitlines() if each.startswith("  linear "))
    assert [float(each) for each in line.split()[2:]] == pytest.approx(manifest["folds"]["linear"], rel=1e-3)
    assert "took" not in text and "learning curve" not in text and "loss when shuffled" not in text
