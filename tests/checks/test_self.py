"""A foreign key of a table to itself is checked against all of its rows, also where only new rows are built."""

from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

import mainstem as ms
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


def opened(root: Path, severity: Literal["error", "warn", "quarantine"]) -> ms.Project:
    @ms.table(key="id", checks=[ms.foreign_key("boss", to="people", to_columns="id", severity=severity)])
    def people(staff: Any) -> Any:
        return staff

    settings = Settings(root, ProjectSettings("staff", ()), Profile(), "default", Serve())
    return ms.Project(settings, {"staff": ms.files("staff/*.parquet"), "people": people})


def write(root: Path, number: int, ids: list[int], bosses: list[int | None]) -> None:
    (root / "staff").mkdir(exist_ok=True)
    columns = {"id": pa.array(ids, "int64"), "boss": pa.array(bosses, "int64")}
    pq.write_table(pa.table(columns), root / "staff" / f"{number}.parquet")


def test_new_rows_refer_to_earlier_ones(tmp_path: Path) -> None:
    write(tmp_path, 1, [1, 2], [None, 1])
    with opened(tmp_path, "quarantine") as project:
        project.run()
        write(tmp_path, 2, [3, 4], [2, 99])
        project.run()
        assert sorted(project.table("people").to_pyarrow().column("id").to_pylist()) == [1, 2, 3]
        assert project.table("quarantine.people").to_pyarrow().column("id").to_pylist() == [4]


def test_a_violation_is_reported(tmp_path: Path) -> None:
    write(tmp_path, 1, [1, 2], [None, 7])
    with opened(tmp_path, "warn") as project:
        (step,) = [step for step in project.run().steps if step.node == "people"]
        (found,) = [check for check in step.checks if "foreign_key" in check.label]
        assert found.violations == 1 and found.sample[0]["boss"] == 7
