"""What the project no longer declares is dropped from the release, and comes back by a rollback."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import ConflictError, RequestError, UnknownName
from mainstem.nodes.records import Release
from mainstem.project.dropping import _node, undeclared
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


@ms.table(checks=[ms.between("id", 0, 1, severity="quarantine")])
def orders(sales: Any) -> Any:
    return sales.mutate(twice=sales.id * 2)


def opened(root: Path, *names: str) -> ms.Project:
    nodes = {"sales": ms.files("sales.parquet"), "orders": orders, "returns": ms.files("sales.parquet")}
    settings = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
    return ms.Project(settings, {name: nodes[name] for name in names})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"id": [1, 2, 3]}), tmp_path / "sales.parquet")
    with opened(tmp_path, "sales", "orders", "returns") as project:
        project.run()
    return tmp_path


def test_all_that_is_not_declared_is_dropped(root: Path) -> None:
    with opened(root, "sales") as project:
        assert set(project.release.tables) == {"sales", "orders", "returns", "quarantine.orders"}
        assert undeclared(project) == ("orders", "returns")
        assert project.drop() == ("orders", "returns")
        assert set(project.release.tables) == {"sales"}
        assert set(project.release.fingerprints) == {"sales"} and set(project.release.inputs) == {"collect sales"}
        assert project.drop() == ()
        assert not project.plan()
        project.rollback()
        assert "quarantine.orders" in project.release.tables


def test_one_is_dropped(root: Path) -> None:
    with opened(root, "sales") as project:
        assert project.drop("returns") == ("returns",)
        assert set(project.release.tables) == {"sales", "orders", "quarantine.orders"}


def test_what_is_declared_unknown_or_in_use_is_refused(root: Path) -> None:
    with opened(root, "sales", "orders") as project:
        before = project.release
        with pytest.raises(RequestError, match="'orders' is declared") as caught:
            project.drop("orders")
        assert caught.value.hint == "delete its definition first"
        with pytest.raises(UnknownName, match="return"):
            project.drop("return")
        with project.adapters.state.hold("main", "a run"), pytest.raises(ConflictError):
            project.drop()
        assert project.release == before


@pytest.mark.parametrize(
    ("relation", "node"),
    [
        ("legs", "legs"),
        ("quarantine.legs", "legs"),
        ("judged.arrivals.drift", "arrivals"),
        ("unreadable.predictions.arrivals", "arrivals"),
    ],
)
def test_relations_belong_to_nodes(relation: str, node: str) -> None:
    assert _node(relation) == node


def test_everything_of_a_node_goes() -> None:
    from mainstem.project.dropping import _without

    release = Release("r", "main", "run", models={"late": "late/1", "soon": "soon/1"}, online={"leg": "f", "air": "g"})
    left = _without(release, {"late", "leg"})
    assert (dict(left.models), dict(left.online)) == ({"soon": "soon/1"}, {"air": "g"})
