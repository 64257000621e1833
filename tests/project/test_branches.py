"""Branches are made, listed, deleted and promoted, and a promotion neither builds again nor loses anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import mainstem as ms
from mainstem.cli.app import app
from mainstem.errors import ConflictError, NotFound, RequestError, RunFailed, UnknownName
from mainstem.nodes.overrides import Override
from mainstem.nodes.records import Binding, now
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


def opened(root: Path, branch: str = "main", over: int = 2) -> ms.Project:
    """A project of a source, a table of prices `over` a limit, a view of it, and a stream."""

    @ms.table(key="id", time="at")
    def dear(sales: Any) -> Any:
        return sales.filter(sales.price > over)

    clicks = ms.stream("clicks", schema={"id": "int64", "at": "timestamp('UTC', 6)"}, time="at", known={"*": "at"})
    nodes = {
        "sales": ms.files("sales/*.parquet", key="id", time="at", known={"*": "at"}),
        "dear": dear,
        "spent": ms.feature_view(dear, key="id", columns=["price"]),
        "clicks": clicks,
    }
    settings = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
    return ms.Project(settings, nodes, branch=branch)


def write(root: Path, first: int, rows: int) -> None:
    (root / "sales").mkdir(exist_ok=True)
    ids = list(range(first, first + rows))
    at = pa.array([1_388_534_400_000_000 + n for n in ids], pa.timestamp("us", "UTC"))
    table = pa.table({"id": ids, "price": [n % 5 for n in ids], "shop": ["a"] * rows, "at": at})
    pq.write_table(table, root / "sales" / f"{first}.parquet")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, 0, 20)
    with opened(tmp_path) as project:
        project.run()
        project.create_branch("dev")
    return tmp_path


@pytest.fixture
def main(root: Path) -> Iterator[ms.Project]:
    with opened(root, over=3) as project:
        yield project


def changed(root: Path) -> None:
    """Run `dev` with another definition of `dear`."""
    with opened(root, "dev", over=3) as dev:
        assert [f"{step.kind} {step.node}" for step in dev.run().steps] == ["build dear", "materialise spent"]


def rows(project: ms.Project) -> int:
    return len(project.table("dear").to_pyarrow())


def test_a_branch_publishes_what_it_was_made_from(root: Path, main: ms.Project) -> None:
    assert [(b.name, b.differs) for b in main.branches()] == [("main", ()), ("dev", ())]
    changed(root)
    assert [(b.name, b.differs) for b in main.branches()] == [("main", ()), ("dev", ("dear",))]
    with pytest.raises(ConflictError, match="'dev' exists"):
        main.create_branch("dev")
    with pytest.raises(NotFound, match="unknown branch 'main2'") as unknown:
        main.create_branch("more", "main2")
    assert unknown.value.hint == "did you mean 'main'?"
    for name in ("", "-x", "a b", "../x", "a__b", "a//b", "a/"):
        with pytest.raises(RequestError, match="of a branch is invalid"):
            main.create_branch(name)


def test_a_promotion_takes_the_snapshots_and_a_rollback_undoes_it(root: Path, main: ms.Project) -> None:
    changed(root)
    with opened(root, "dev", over=3) as dev:
        made = dev.release
    before = main.release
    record = main.promote_branch("dev")
    assert [f"{step.kind} {step.node}" for step in record.steps] == [
        "materialise spent"
    ] and record.status == "published"
    assert main.release.tables["dear"] == made.tables["dear"] and rows(main) == 4
    assert main.release.online["spent"] == made.online["spent"] != before.online["spent"]
    assert main.online("spent").get([{"id": 4}])[0]["price"] == 4
    assert not main.plan()
    assert main.promote_branch("dev").status == "unchanged"
    main.rollback()
    assert main.release.tables == before.tables and rows(main) == 8
    assert main.promote_branch("dev").status == "published" and rows(main) == 4


def test_a_promotion_that_would_lose_something_is_refused(root: Path, main: ms.Project) -> None:
    changed(root)
    write(root, 20, 20)
    with opened(root) as project:
        project.run()
        head = project.release
    with pytest.raises(ConflictError, match="never had, and promoting would lose it") as refused:
        main.promote_branch("dev")
    assert refused.value.got == "dear, sales" and "branch create dev --from main" in str(refused.value.hint)
    assert main.release == head


def test_several_promotions_from_one_branch(root: Path, main: ms.Project) -> None:
    changed(root)
    main.promote_branch("dev")
    write(root, 20, 20)
    with opened(root, "dev", over=3) as dev:
        dev.run()
    main.promote_branch("dev")
    assert rows(main) == 8 and not main.plan()


def test_models_and_endpoints_are_promoted_with_the_tables(root: Path, main: ms.Project) -> None:
    changed(root)
    main.promote_branch("dev")
    state = main.adapters.state
    with opened(root, "dev", over=3) as dev:
        bound = {"arrivals": Binding("late-2")}
        made = replace(dev.release, id="rel-dev", parent=dev.release.id, models={"late": "late-2"}, endpoints=bound)
        state.publish("dev", replace(made, created_at=now()), expect=dev.release.id)
    main.promote_branch("dev")
    assert main.release.models == {"late": "late-2"} and main.release.champion("arrivals") == "late-2"
    moved = replace(main.release, id="rel-main", parent=main.release.id, endpoints={"arrivals": Binding("late-3")})
    state.publish("main", replace(moved, created_at=now()), expect=main.release.id)
    with pytest.raises(ConflictError) as refused:
        main.promote_branch("dev")
    assert refused.value.got == "endpoint arrivals"


def test_events_of_the_target_stay(root: Path, main: ms.Project) -> None:
    main.ingest("clicks", [{"id": 1, "at": "2014-01-01T00:00:00Z"}])
    with opened(root) as project:
        project.run()
        clicks = project.release.tables["clicks"]
    changed(root)
    main.promote_branch("dev")
    assert main.release.tables["clicks"] == clicks and main.table("clicks").to_pyarrow()["id"].to_pylist() == [1]
    assert rows(main) == 4 and not main.plan()


def test_a_view_of_other_definitions_is_not_brought_online(root: Path) -> None:
    changed(root)
    with opened(root, over=2) as other, pytest.raises(ConflictError, match="differ from those that branch 'dev'"):
        other.promote_branch("dev")


def test_a_promotion_that_fails_changes_nothing(root: Path, main: ms.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(root)
    before = main.release
    monkeypatch.setattr("mainstem.features.materialise.step.Materialise.__call__", _fails)
    with pytest.raises(RunFailed):
        main.promote_branch("dev")
    assert main.release == before and rows(main) == 8


def _fails(*_: object) -> None:
    raise ConflictError("no room")


def test_a_deleted_branch_is_gone_and_can_be_made_again(root: Path, main: ms.Project) -> None:
    changed(root)
    online = main.adapters.online_path("dev")
    assert online.exists()
    last = main.delete_branch("dev")
    assert [b.name for b in main.branches()] == ["main"] and not online.exists()
    with pytest.raises(RequestError, match="cannot be deleted"):
        main.delete_branch("main")
    with pytest.raises(NotFound):
        main.delete_branch("dev")
    main.create_branch("dev", last.id)
    with opened(root, "dev", over=3) as dev:
        assert rows(dev) == 4


def clicked(project: ms.Project, *ids: int) -> list[int]:
    """Take events in, one run each, and return the ids that the branch publishes."""
    for id in ids:
        project.ingest("clicks", [{"id": id, "at": "2014-01-01T00:00:00Z"}])
        project.run()
    return sorted(project.table("clicks").to_pyarrow()["id"].to_pylist())


def test_a_branch_of_an_earlier_release_goes_on_from_the_log_as_it_is(root: Path, main: ms.Project) -> None:
    """The log has lost the entries that later runs drained, and the state online is that of now."""
    with opened(root) as project:
        clicked(project, 1)
        early = project.release
        write(root, 20, 20)
        assert clicked(project, 2, 3) == [1, 2, 3]
        now = project.release
    made = main.create_branch("past", early.id)
    assert made.branch == "past" and made.parent == early.id
    assert made.tables["sales"] == early.tables["sales"] != now.tables["sales"]
    assert made.tables["clicks"] == now.tables["clicks"] and made.online == now.online
    with opened(root, "past") as past:
        assert clicked(past, 4) == [1, 2, 3, 4] and len(past.table("dear").to_pyarrow()) == 16
        assert past.online("spent").get([{"id": 38}])[0]["price"] == 3
    with opened(root) as project:
        assert project.release == now and clicked(project, 5) == [1, 2, 3, 5]


def test_a_new_branch_has_nothing_of_a_deleted_one_of_its_name(root: Path, main: ms.Project) -> None:
    def broken(dev: ms.Project) -> list[int]:
        with dev.adapters.store.transaction() as log:
            log.append("events/clicks", [b"\xc1 no msgpack"])
        dev.run()
        return dev.table("unreadable.clicks").to_pyarrow()["_seq"].to_pylist()

    with opened(root, "dev") as dev:
        assert clicked(dev, 1, 2) == [1, 2] and broken(dev) == [2]
    main.delete_branch("dev")
    main.create_branch("dev")
    with opened(root, "dev") as dev:
        assert clicked(dev, 3) == [3] and broken(dev) == [1]


def test_a_branch_is_not_deleted_or_promoted_while_it_runs(root: Path, main: ms.Project) -> None:
    with main.adapters.state.hold("dev", "a run"):
        for do in (main.delete_branch, main.promote_branch):
            with pytest.raises(ConflictError, match="another run is in progress"):
                do("dev")


def test_the_commands(tmp_path: Path) -> None:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "b"\nmodules = ["branched"]\n')
    (tmp_path / "branched.py").write_text('import mainstem as ms\nt = ms.files("t.csv", key="id", known="always")\n')
    (tmp_path / "t.csv").write_text("id\n1\n")

    def said(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [*words, "-C", str(tmp_path)])
        assert result.exit_code == code, result.output
        return result.output

    said("run")
    assert said("branch", "create", "dev").startswith("branch dev publishes rel-")
    (tmp_path / "t.csv").write_text("id\n1\n2\n")
    said("run", "--branch", "dev")
    assert [line.split()[-1] for line in said("branch", "list").splitlines()[2:]] == ["–", "t"]
    assert "on branch main" in said("branch", "promote", "dev") and "nothing to do" in said("branch", "promote", "dev")
    assert "--from rel-" in said("branch", "delete", "dev")
    said("branch", "promote", "dev", code=2)


def test_what_a_branch_publishes_is_compared_with_main(root: Path, main: ms.Project) -> None:
    assert main.diff("main", "dev").is_empty
    changed(root)
    tables = {each.table: each for each in main.diff("main", "dev").tables}
    assert tables["sales"].state == "equal" and tables["dear"].state == "differs"
    assert (tables["dear"].removed, tables["dear"].rows) == (4, (8, 4))
    assert [example.key["id"] for example in tables["dear"].examples["removed"]] == [3, 8, 13]
    quick = main.diff("main", "dev", ["dear"], data=False)
    assert [(each.table, each.state, each.removed) for each in quick.tables] == [("dear", "differs", 0)]
    first, second = main.release.id, main.promote_branch("dev").release
    assert main.diff(str(second), first, ["dear"]).tables[0].added == 4
    with pytest.raises(NotFound, match="unknown branch 'deb'"):
        main.diff("main", "deb")
    with pytest.raises(UnknownName, match="unknown published relation 'daer'"):
        main.diff("main", "dev", ["daer"])


def test_an_override_ends_with_its_branch(root: Path, main: ms.Project) -> None:
    state = main.adapters.state
    for branch in ("dev", "main"):
        state.save(Override(f"O-{branch}", "desk", branch, "block", {}, "me", "a test"))
    main.delete_branch("dev")
    (gone,), (stays,) = state.find(Override, branch="dev"), state.find(Override, branch="main")
    assert gone.ended_at is not None and stays.ended_at is None


def test_a_model_shows_the_newest_version_of_its_branch(root: Path) -> None:
    def opened_with(branch: str, folds: int) -> ms.Project:
        sales = ms.files("sales/*.parquet", key="id", time="at", known={"*": "at"})
        sold = ms.model(sales, target="price", features=["id"], candidates=["linear"], folds=folds)
        settings = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
        return ms.Project(settings, {"sales": sales, "sold": sold}, branch=branch)

    write(root, 100, 40)
    with opened_with("main", 2) as project:
        project.run()
    with opened_with("dev", 3) as project:
        project.run()
        assert project.show("sold").card["id"] == project.report("sold").version.id == "sold-2"
    with opened_with("main", 2) as project:
        assert project.show("sold").card["id"] == project.report("sold").version.id == "sold-1"
