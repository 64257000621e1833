"""A project that is moved, copied or kept in a directory with an odd name; and a state that meets another lake."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import RunFailed, StorageError
from mainstem.nodes.base import Node
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
ODD = [
    "a space",
    "100%",
    "100%20",
    "what?",
    "a[b]",
    "hash#tag",
    "star*",
    "näm é 日本",
    "quote'd",
    'double"d',
    "a&b=c;d",
]


def declared() -> dict[str, Node]:
    rides = ms.files("data/*.parquet", key="ride", time="at")
    places = ms.files("places.csv", key="place", known="always", schema={"place": "string", "size": "int64"})
    sized = ms.table(lambda rides, places: rides.join(places, "place"), name="sized", key="ride", time="at")
    view = ms.feature_view(sized, key="place", windows=["7d"], rides=_.count(), total=_.size.sum())
    return {"rides": rides, "places": places, "sized": sized, "busy": view}


def deliver(root: Path, first: int, rows: int = 3) -> None:
    (root / "data").mkdir(parents=True, exist_ok=True)
    at = pa.array([NOON + timedelta(hours=n) for n in range(first, first + rows)], pa.timestamp("us", "UTC"))
    rides = pa.table({"ride": [f"r{n}" for n in range(first, first + rows)], "place": ["here"] * rows, "at": at})
    pq.write_table(rides, root / "data" / f"from {first}[1].parquet")
    pa.csv.write_csv(pa.table({"place": ["here"], "size": [2]}), root / "places.csv")


def opened(root: Path, **profile: str) -> ms.Project:
    settings = Settings(root, ProjectSettings("rides", ()), Profile(**profile), "default", Serve())
    return ms.Project(settings, declared())


def run(root: Path, first: int) -> None:
    deliver(root, first)
    with opened(root) as project:
        project.run()


def rides(root: Path) -> tuple[int, int]:
    with opened(root) as project:
        row = project.online("busy").get([{"place": "here"}], NOON + timedelta(days=1))[0]
        return project.table("sized").to_pyarrow().num_rows, row["rides_7d"]


def files(root: Path) -> dict[str, int]:
    lake = root / ".mainstem" / "lake" / "tables"
    return {str(path.relative_to(root)): path.stat().st_size for path in sorted(lake.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ODD)
def test_a_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name / "project"
    run(root, 0)
    run(root, 3)
    assert rides(root) == (6, 6)
    with opened(root) as project:
        assert project.gc().files == 0, "every file is needed, or too young"
    assert rides(root) == (6, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_a_moved_project_goes_on_where_it_is(tmp_path: Path) -> None:
    run(tmp_path / "old", 0)
    identity = (tmp_path / "old/.mainstem/lake/lake.json").read_text()
    (tmp_path / "old").rename(tmp_path / "new")
    assert rides(tmp_path / "new") == (3, 3)
    run(tmp_path / "new", 3)
    assert rides(tmp_path / "new") == (6, 6)
    with opened(tmp_path / "new") as project:
        assert not project.plan()
        project.adapters.lake.sweep([], older_than_hours=0)
    assert not (tmp_path / "old").exists()
    moved = (tmp_path / "new/.mainstem/lake/lake.json").read_text()
    assert moved == identity.replace("/old/", "/new/")


def test_a_copied_project_is_one_of_its_own(tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    run(original, 0)
    run(original, 3)
    shutil.copytree(original, copy)
    before = files(original)
    run(copy, 6)
    assert rides(copy) == (9, 9) and rides(original) == (6, 6)
    with opened(copy) as project:
        project.rollback()
        project.adapters.lake.sweep([*project.release.tables.values()], older_than_hours=-1)
        assert project.gc().files == 0
    assert rides(copy) == (6, 6)
    assert files(original) == before, "neither a run nor a sweep of the copy touches the original"
    with opened(original) as project:
        project.adapters.lake.sweep([*project.release.tables.values()], older_than_hours=-1)
    assert rides(original) == (6, 6) and rides(copy) == (6, 6)
    ids = [(root / ".mainstem/lake/lake.json").read_text().split('"')[3] for root in (original, copy)]
    assert ids[0] != ids[1]


def test_a_state_refuses_a_lake_that_is_not_its_own(tmp_path: Path) -> None:
    """Two projects share a state by mistake, as with one PostgreSQL for a project and its copy."""
    original, copy = tmp_path / "original", tmp_path / "copy"
    state = f"sqlite:///{tmp_path}/shared.db"
    deliver(original, 0)
    with opened(original, state=state) as project:
        project.run()
    shutil.copytree(original, copy)
    before = files(original), files(copy)
    deliver(copy, 3)
    with opened(copy, state=state) as project:
        with pytest.raises(RunFailed) as failed:
            project.run()
        assert "the state belongs to another lake" in str(failed.value.causes[0])
        with pytest.raises(StorageError, match="the state belongs to another lake"):
            project.gc()
    assert (files(original), files(copy)) == before
    with opened(original, state=state) as project:
        assert not project.plan()


def test_a_damaged_identity_is_said(tmp_path: Path) -> None:
    run(tmp_path, 0)
    (tmp_path / ".mainstem/lake/lake.json").write_text('{"id": "x"')
    deliver(tmp_path, 3)
    with opened(tmp_path) as project, pytest.raises(RunFailed) as failed:
        project.run()
    assert "the lake's identity cannot be read" in str(failed.value.causes[0])
