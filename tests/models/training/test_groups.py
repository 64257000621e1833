"""Groups with a split that the user gives, and rows without a group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mainstem as ms
import mainstem.testing
from mainstem.errors import RunFailed

SCHEMA = {"id": "string", "dose": "float64", "patient": "string", "part": "string", "pressure": "float64"}


def visits(part: Any, patients: int = 40, rows: int = 240) -> list[dict[str, Any]]:
    """Rows of patients in turns. `part` says where the row n of a patient belongs."""
    random = np.random.default_rng(0)
    found = []
    for n in range(rows):
        dose, patient = float(random.uniform(0, 10)), n % patients
        row = {"id": f"v{n}", "dose": dose, "patient": f"p{patient:02}", "part": part(n, patient)}
        found.append(row | {"pressure": 120 - 2 * dose + float(random.normal(0, 3))})
    return found


def trained(rows: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    source = ms.files("visits.csv", key="id", schema=SCHEMA)
    settings = {"features": ["dose"], "target": "pressure", "groups": "patient", "candidates": ["linear"]} | options
    nodes = {"visits": source, "pressure": ms.model(source, **settings)}
    with mainstem.testing.project(nodes, {"visits": rows}) as project:
        project.run()
        shown: dict[str, Any] = project.show("pressure").card
        return shown


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (lambda n, patient: "test" if n < 30 else "train", "30 of 40 groups, such as 'p00': test, train"),
        (
            lambda n, patient: "test" if patient > 30 else "validation" if n < 5 else "train",
            "5 of 40 groups, such as 'p00': train, validation",
        ),
        (lambda n, patient: f"part {n % 3}", "40 of 40 groups, such as 'p00': fold 1, fold 2, fold 3"),
    ],
)
def test_a_group_in_several_parts_is_refused(part, told):
    with pytest.raises(RunFailed, match="rows of one group are in several parts of `split`") as error:
        trained(visits(part), split="part")
    assert told in str(error.value)


def test_groups_that_the_split_keeps_whole_are_accepted():
    card = trained(visits(lambda n, patient: "test" if patient % 4 == 0 else "train"), split="part")
    assert card["rows"]["test"] == 60 and card["evaluation"]["intervals"].endswith("whole groups")


def test_intervals_resample_the_groups_and_not_the_folds():
    rows = visits(lambda n, patient: f"clinic {patient % 3}")
    by_patient, by_fold = (trained(rows, split="part", **more)["metrics"]["rmse"] for more in ({}, {"groups": None}))
    assert by_patient["value"] == by_fold["value"], "folds are the same"
    widths = [each["high"] - each["low"] for each in (by_patient, by_fold)]
    assert widths[0] != widths[1]
    units = trained(rows, groups="patient")["metrics"]["rmse"]
    assert widths[0] == pytest.approx(units["high"] - units["low"], rel=0.2), "40 patients, however folds are made"


def test_a_row_without_a_group_is_a_group_of_its_own():
    rows = [row | {"patient": row["patient"] if n >= 60 else None} for n, row in enumerate(visits(lambda n, p: None))]
    card = trained(rows)
    assert card["evaluation"]["rows without a group"] == "60: each is a group of its own"
    assert "rows without a group" not in trained(visits(lambda n, patient: None))["evaluation"]


def test_few_groups_are_a_limit_of_the_report():
    source = ms.files("visits.csv", key="id", schema=SCHEMA)
    model = ms.model(source, features=["dose"], target="pressure", groups="patient", candidates=["linear"])
    told = "Few groups: intervals resample 4 whole groups, and may be too narrow."
    for patients, few in ((4, True), (10, False)):
        rows = visits(lambda n, patient: None, patients)
        with mainstem.testing.project({"visits": source, "pressure": model}, {"visits": rows}) as project:
            project.run()
            assert (told in project.report("pressure").markdown()) is few


def test_folds_inside_one_group_say_that_they_do_not_keep_groups_apart():
    two, three = (trained(visits(lambda n, patient: None, number))["evaluation"]["folds"] for number in (2, 3))
    assert two == "2, stratified in 2 of 2 trainings, which have one group"
    assert three == "3"
