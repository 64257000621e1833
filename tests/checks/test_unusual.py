"""`ms.anomaly` against the statistics of earlier snapshots, through real runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, RunFailed, SchemaError
from mainstem.nodes.records import CheckResult
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

SCHEMA = {"n": "int64", "delay": "float64", "city": "string"}
Deliver = Callable[..., dict[str, CheckResult]]

CHECKS = [
    ms.anomaly("rows"),
    ms.anomaly("nulls", "delay", severity="error"),
    ms.anomaly("mean", "delay"),
    ms.anomaly("high", "delay"),
    ms.anomaly("distinct", "n"),
    ms.anomaly("unseen", "city", minimum=4),
]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    raw = ms.files("raw.parquet", schema=SCHEMA, known="always")
    copy = ms.table(lambda raw: raw, name="copy", checks=CHECKS)
    settings = Settings(tmp_path, ProjectSettings("test", ()), Profile(), "default", Serve())
    with Project(settings, {"raw": raw, "copy": copy}) as made:
        yield made


def deliver(
    project: Project, day: int, rows: int = 1_000, nulls: int = 10, shift: float = 0.0, city: str = "Ulm"
) -> dict[str, CheckResult]:
    """A day's rows: a little more, and a little later, from day to day. The results of the checks by label."""
    count = rows + day * 3
    delays = [None if i < nulls + day else i % 50 + day * 0.1 + shift for i in range(count)]
    cities = [city if i % 10 == 0 else "Bonn" for i in range(count)]
    pq.write_table(
        pa.table(
            {"n": list(range(count)), "delay": delays, "city": cities},
            schema=pa.schema([("n", "int64"), ("delay", "float64"), ("city", "string")]),
        ),
        project.settings.root / "raw.parquet",
    )
    record = project.run()
    return {result.label: result for step in record.steps for result in step.checks}


def test_a_history_that_is_too_short_is_told(project: Project) -> None:
    found = deliver(project, 0)
    assert {result.message for label, result in found.items() if "unseen" not in label} == {"0 of 5 snapshots"}
    assert not any(result.judged for result in found.values())
    deliver(project, 1)
    found = deliver(project, 2)
    assert found["anomaly(rows)"].message == "2 of 5 snapshots"
    assert found["anomaly(rows)"].passed
    assert {each.check: each.message for each in status(project)}["anomaly(rows)"] == "2 of 5 snapshots"


def status(project: Project) -> Any:
    return next(node for node in project.status().nodes if node.name == "copy").checks


def test_ordinary_days_pass_and_unusual_ones_are_told_with_what_was_expected(project: Project) -> None:
    for day in range(6):
        found = deliver(project, day)
    assert all(result.judged and result.passed for result in found.values())
    found = deliver(project, 6, rows=400, nulls=0, shift=30.0, city="Köln")
    unusual = {label: result.message for label, result in found.items() if not result.passed}
    assert set(unusual) == {
        f"anomaly({of})" for of in ("rows", "mean, delay", "high, delay", "distinct, n", "unseen, city")
    }
    assert unusual["anomaly(rows)"] == "418; expected 957 to 1,058, from 6 snapshots"
    assert unusual["anomaly(unseen, city)"] == "10.05%; expected 0.00% to 1.00%, from 5 snapshots"
    assert unusual["anomaly(mean, delay)"].endswith(", from 6 snapshots")
    assert project.check()["copy"] == tuple(found[check.label] for check in CHECKS)


def test_an_error_publishes_nothing_and_what_was_rolled_back_is_no_history(project: Project) -> None:
    for day in range(5):
        deliver(project, day)
    before = project.release.id
    with pytest.raises(RunFailed, match=r"nulls, delay.*expected 0.19% to 2.19%, from 5 snapshots"):
        deliver(project, 5, nulls=500)
    assert project.release.id == before
    deliver(project, 5)
    project.rollback()
    context = project.reading("test")
    assert len(context.history) == 5
    assert len({release.tables["copy"].id for release in context.history}) == 5


@pytest.mark.parametrize(
    ("declare", "error"),
    [
        (lambda: ms.anomaly("rows", "delay"), DefinitionError),
        (lambda: ms.anomaly("nulls"), DefinitionError),
        (lambda: ms.anomaly("rows", severity="quarantine"), DefinitionError),
        (lambda: ms.anomaly("rows", minimum=1), DefinitionError),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(declare: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        declare()


def test_a_mean_needs_a_number(tmp_path: Path) -> None:
    raw = ms.files("raw.parquet", schema=SCHEMA, known="always")
    copy = ms.table(lambda raw: raw, name="copy", checks=[ms.anomaly("mean", "city")])
    settings = Settings(tmp_path, ProjectSettings("test", ()), Profile(), "default", Serve())
    pq.write_table(pa.table({"n": [1], "delay": [1.0], "city": ["Ulm"]}), tmp_path / "raw.parquet")
    with Project(settings, {"raw": raw, "copy": copy}) as made, pytest.raises(SchemaError, match="requires a number"):
        made.plan()
