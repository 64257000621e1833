"""After a failed run, `plan`, `status` and the next run say the same, and the next run finishes the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.errors import RunFailed

PROJECT = """
import mainstem as ms
sales = ms.files("sales.csv", key="id", known="always")

@ms.table(key="id", checks=[ms.between("price", 0, 100)])
def priced(sales):
    return sales.mutate(price=sales.price * FACTOR)

@ms.table
def totals(priced):
    return priced.aggregate(total=priced.price.sum())

@ms.table
def counts(sales):
    return sales.aggregate(n=sales.count())
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[int], ms.Project]:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "a"\nmodules = ["agreed"]\n')
    (tmp_path / "sales.csv").write_text("id,price\n" + "".join(f"{n},{n}\n" for n in range(10)))

    def loaded(factor: int) -> ms.Project:
        (tmp_path / "agreed.py").write_text(PROJECT.replace("FACTOR", str(factor)))
        sys.modules.pop("agreed", None)
        return ms.load(tmp_path)

    return loaded


def states(project: ms.Project) -> dict[str, str]:
    return {node.name: node.state for node in project.status().nodes}


def due(project: ms.Project) -> set[str]:
    return {step.node for step in project.plan().steps}


@pytest.mark.parametrize("workers", [1, 3])
def test_fail_plan_status_fix_run(load: Callable[[int], ms.Project], tmp_path: Path, workers: int) -> None:
    with load(1) as project:
        project.run(workers=workers)
        published = project.release
    (tmp_path / "sales.csv").write_text("id,price\n" + "".join(f"{n},{n}\n" for n in range(20)))
    with load(50) as project:
        with pytest.raises(RunFailed) as error:
            project.run(workers=workers)
        told = {step.node: step.status for step in error.value.run.steps}
        assert told == {"sales": "done", "priced": "failed", "totals": "skipped", "counts": "done"}
        assert project.release == published and project.table("counts").to_pyarrow()["n"].to_pylist() == [10]
        assert due(project) == {"sales", "priced", "totals", "counts"}, "nothing of the failed run counts"
        assert states(project) == {"sales": "fresh", "priced": "failed", "totals": "stale", "counts": "fresh"}
        assert project.status().runs[0].status == "failed"
        with pytest.raises(RunFailed):
            project.run(workers=workers)
    with load(2) as project:
        assert states(project)["priced"] == "stale", "the definition that failed is gone"
        record = project.run(workers=workers)
        assert {step.node: step.status for step in record.steps} == dict.fromkeys(told, "done")
        assert set(states(project).values()) == {"fresh"} and not project.plan()
        assert project.run().status == "unchanged"
        assert project.table("totals").to_pyarrow()["total"].to_pylist() == [2 * sum(range(20))]


def test_going_back_after_a_failure_is_nothing_to_do(load: Callable[[int], ms.Project]) -> None:
    with load(1) as project:
        project.run()
    with load(50) as project, pytest.raises(RunFailed):
        project.run()
    with load(1) as project:
        assert not project.plan() and project.run().status == "unchanged"
        assert set(states(project).values()) == {"fresh"}
