"""A key that is erased is in no file of the project, nor in its online store; everything else stays."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import ConflictError, RequestError, SnapshotGone, UnknownName
from mainstem.logs.predictions import append
from mainstem.logs.records import Prediction
from mainstem.nodes.overrides import Override
from mainstem.nodes.records import ModelVersion
from mainstem.project.erasure import Eraser
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

INSTANT = "timestamp('UTC', 6)"
START = datetime(2026, 1, 1, tzinfo=UTC)
ERASED = "ada@example.org"


@ms.table(key="id", checks=[ms.between("price", 0, 1_000, severity="quarantine"), ms.not_null("shop", severity="warn")])
def priced(sales: Any) -> Any:
    return sales.mutate(cents=(sales.price * 100).cast("int64"))


@ms.table
def totals(priced: Any) -> Any:
    return priced.group_by("shop").aggregate(n=priced.count(), price=priced.price.sum())


def nodes() -> dict[str, Any]:
    sales = ms.files("sales/*.parquet", key="id", time="at", known={"*": _.at, "kept": _.at + ibis.interval(hours=1)})
    clicks = ms.stream("clicks", schema={"email": "string", "shop": "string", "at": INSTANT}, time="at")
    buyer = ms.feature_view(clicks, key="email", windows=["30d"], clicks=_.count())
    place = ms.feature_view(clicks, key="shop", windows=["30d"], clicks=_.count())
    bought = ms.feature_view(sales, key="email", windows=["30d"], spent=_.price.sum())
    kept = ms.model(
        examples=sales,
        prediction_time=_.at + ibis.interval(seconds=1),
        target=_.kept,
        features=[buyer, bought, place],
        candidates=["linear"],
    )
    return {
        "sales": sales,
        "clicks": clicks,
        "priced": priced,
        "totals": totals,
        "buyer": buyer,
        "place": place,
        "bought": bought,
        "kept": kept,
        "keeps": ms.endpoint(kept),
    }


def opened(root: Path, branch: str = "main", only: tuple[str, ...] = ()) -> Project:
    settings = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
    chosen = {name: node for name, node in nodes().items() if not only or name in only}
    return ms.Project(settings, chosen, branch=branch)


DATA = ("sales", "priced", "totals")


def write(root: Path, number: int, rows: int = 40) -> None:
    chance = random.Random(number)
    emails = [f"c{n}@example.org" for n in range(9)] + [ERASED]
    (root / "sales").mkdir(exist_ok=True)
    table = {
        "id": [f"{number}-{n}" for n in range(rows)],
        "email": [emails[n % len(emails)] for n in range(rows)],
        "shop": [chance.choice(["a", "b", None]) for n in range(rows)],
        "price": [chance.choice([chance.uniform(1, 99), 5_000.0]) for n in range(rows)],
        "at": [START + timedelta(days=number, minutes=n) for n in range(rows)],
        "kept": [chance.random() < 0.5 for n in range(rows)],
    }
    pq.write_table(pa.table(table), root / "sales" / f"{number}.parquet")


def clicks(project: Project, number: int) -> None:
    emails = [ERASED, "c1@example.org"] * 3
    rows = [
        {"email": email, "shop": "a", "at": START + timedelta(days=number, hours=n)} for n, email in enumerate(emails)
    ]
    project.ingest("clicks", rows, backfill=True)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Tables only, after three runs."""
    with opened(tmp_path, only=DATA) as made:
        for number in range(3):
            write(tmp_path, number)
            made.run()
        yield made


def emails(project: Project, relation: str) -> list[str]:
    return sorted(project.table(relation).to_pyarrow().column("email").to_pylist())


def traces(root: Path, value: str = ERASED) -> list[str]:
    """Return the files of a project, other than its sources, whose bytes or values have the text."""
    found = []
    for path in (root / ".mainstem").rglob("*"):
        if not path.is_file() or path.suffix == ".mdb":
            continue
        held = value.encode() in path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            held |= any(
                pc.any(pc.equal(column, value)).as_py() for column in table.columns if pa.types.is_string(column.type)
            )
        if held:
            found.append(str(path.relative_to(root)))
    return found


def test_every_branch_release_and_file_loses_the_rows(project: Project, tmp_path: Path) -> None:
    with opened(tmp_path, "dev", only=DATA) as dev:
        write(tmp_path, 3)
        dev.run()
    names = ("sales", "priced", "quarantine.priced")
    others = {name: [email for email in emails(project, name) if email != ERASED] for name in names}
    earlier, counted = project.release, {name: project.release.tables[name].rows for name in names}
    assert traces(tmp_path)

    found = project.erase("email", ERASED)

    assert traces(tmp_path) == []
    assert {name: emails(project, name) for name in names} == others
    for name in names:
        assert found.rows[f"main: {name}"] == counted[name] - len(others[name]) > 0
        assert project.release.tables[name].rows == len(others[name])
    assert found.rows["dev: sales"] == 16
    assert found.derived == ("totals",)
    assert earlier.id in found.releases and found.snapshots > 3
    with pytest.raises(SnapshotGone):
        project.table("sales").as_of(earlier.id).to_pyarrow()
    with pytest.raises(SnapshotGone):
        project.rollback(earlier.id)
    with opened(tmp_path, "dev", only=DATA) as dev:
        assert ERASED not in emails(dev, "priced") and len(emails(dev, "sales")) == 144
    assert project.erase("email", ERASED).rows == {}


def test_what_is_remembered_of_web_pages_is_erased(project: Project, tmp_path: Path) -> None:
    place = project.settings.root / ".mainstem" / "pages" / "abc"
    place.mkdir(parents=True)
    (place / "page.json").write_text(ERASED)
    project.erase("email", ERASED)
    assert not place.exists()


def test_the_next_run_builds_again_what_was_computed_and_goes_on(project: Project, tmp_path: Path) -> None:
    project.erase("email", ERASED)
    write(tmp_path, 4)
    steps = {step.node: step for step in project.run().steps}
    assert "totals" in steps
    ours = project.query("SELECT shop, count(*) AS n FROM priced GROUP BY ALL ORDER BY shop").to_pylist()
    assert project.query("SELECT shop, n FROM totals ORDER BY shop").to_pylist() == ours
    assert emails(project, "sales").count(ERASED) == 4  # the new file has the key again
    assert project.check_files().damaged == ()


def test_an_override_that_names_the_key_is_ended_and_forgets_it(project: Project, tmp_path: Path) -> None:
    state = project.adapters.state
    mine = Override("O1", "keeps", "main", "block", {"email": ERASED, "shop": "a"}, "ann", f"{ERASED} complained")
    other = Override("O2", "keeps", "main", "block", {"email": "c1@example.org"}, "ann", "spam")
    state.save(mine, other)
    project.erase("email", ERASED)
    assert traces(tmp_path) == []
    gone, kept = state.find(Override)
    assert gone.where == {"email": "(erased)", "shop": "a"} and gone.ended_at is not None
    assert kept == other and project.overrides() == [other]


def test_a_rehearsal_changes_nothing(project: Project, tmp_path: Path) -> None:
    before = project.release
    files = sorted(str(path) for path in tmp_path.rglob("*.parquet"))
    found = project.erase("email", ERASED, rehearse=True)
    assert found.rehearsed and found.rows["main: sales"] == 12 and found.files > 3
    assert project.release == before
    assert sorted(str(path) for path in tmp_path.rglob("*.parquet")) == files


def test_other_columns_have_the_key_too(tmp_path: Path) -> None:
    settings = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
    pq.write_table(pa.table({"customer": [1, 2, 3]}), tmp_path / "customers.parquet")
    pq.write_table(pa.table({"order": [1, 2, 3], "buyer": [2, 2, 1]}), tmp_path / "orders.parquet")
    declared = {"customers": ms.files("customers.parquet"), "orders": ms.files("orders.parquet")}
    with ms.Project(settings, declared) as project:
        project.run()
        with pytest.raises(UnknownName, match="order"):
            project.erase("customer", 2, also=["order.buyer"])
        with pytest.raises(UnknownName, match="buyers"):
            project.erase("customer", 2, also=["orders.buyers"])
        with pytest.raises(RequestError):
            project.erase("customer", 2, also=["buyer"])
        with pytest.raises(UnknownName, match="costumer"):
            project.erase("costumer", 2)
        assert project.erase("customer", "no number").rows == {}
        found = project.erase("customer", 2, also=["orders.buyer"])
        assert found.rows == {"main: customers": 1, "main: orders": 2}
        assert project.table("orders").to_pyarrow().column("buyer").to_pylist() == [1]
        assert found.left[0] == "customers still has the rows where it is collected from; erase them there, too"


def test_a_relation_may_have_the_key_twice_and_quarantined_rows_have_it_too(tmp_path: Path) -> None:
    @ms.table(checks=[ms.between("amount", 0, 9, severity="quarantine")])
    def gifts(orders: Any) -> Any:
        return orders

    pq.write_table(
        pa.table({"customer": [1, 2, 2, 3, 4], "given_to": ["2", "2", "x", None, "2"], "amount": [5, 5, 5, 5, 99]}),
        tmp_path / "orders.parquet",
    )
    settings = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
    with ms.Project(settings, {"orders": ms.files("orders.parquet"), "gifts": gifts}) as project:
        project.run()
        found = project.erase("customer", 2, also=["gifts.given_to"])
        assert found.rows == {"main: gifts": 3, "main: orders": 2, "main: quarantine.gifts": 1}
        assert project.table("gifts").to_pyarrow().column("customer").to_pylist() == [3]
        assert project.table("quarantine.gifts").to_pyarrow().num_rows == 0


def test_rows_that_a_run_publishes_meanwhile_are_erased_too(project: Project, tmp_path: Path) -> None:
    eraser = Eraser(project, "email", ERASED)
    write(tmp_path, 3)
    project.run()
    eraser.erase()
    assert traces(tmp_path) == []
    assert ERASED not in emails(project, "sales") and len(emails(project, "sales")) == 144


def test_all_rows_of_a_table_may_go(tmp_path: Path) -> None:
    settings = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
    pq.write_table(pa.table({"customer": [7, 7]}), tmp_path / "customers.parquet")
    with ms.Project(settings, {"customers": ms.files("customers.parquet")}) as project:
        project.run()
        assert project.erase("customer", 7).rows == {"main: customers": 2}
        assert project.table("customers").to_pyarrow().num_rows == 0
        assert list((tmp_path / ".mainstem/lake/tables").rglob("*.parquet")) == []


def test_one_at_a_time(project: Project) -> None:
    with project.adapters.state.hold("main", "a run"), pytest.raises(ConflictError):
        project.erase("email", ERASED)


def test_an_erasure_that_was_cut_off_is_done_by_the_next(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("mainstem.lake.iceberg.IcebergLake.forget", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            project.erase("email", ERASED)
    assert ERASED not in emails(project, "sales")
    assert traces(tmp_path)
    assert project.erase("email", ERASED).snapshots > 0
    assert traces(tmp_path) == []


def test_models_and_online_state(tmp_path: Path) -> None:
    with opened(tmp_path) as project:
        for number in range(20):
            write(tmp_path, number)
        project.run("clicks buyer place")
        for number in range(8):
            clicks(project, number)
        project.run()
        project.promote("kept")
        project.predict("keeps", [{"email": ERASED, "shop": "a"}])
        clicks(project, 9)
        at = START + timedelta(days=20)
        champion = project.release.champion("keeps")
        assert champion is not None
        assert project.online("place").get([{"shop": "a"}], time=at)[0]["clicks_30d"] == 54
        buyers = [ERASED if n == 7 else f"c{n}@example.org" for n in range(20)]
        made = [Prediction(f"p{n}", n, n, champion, {"email": each}, 0.5) for n, each in enumerate(buyers)]
        with project.adapters.store.transaction() as writer:
            append(writer, "keeps", made)  # one entry of the log, with rows of several people

        found = project.erase("email", ERASED)

        assert project.online("buyer").get([{"email": ERASED}], time=at)[0]["clicks_30d"] == 0
        assert project.online("bought").get([{"email": ERASED}], time=at)[0]["spent_30d"] is None
        assert project.online("place").get([{"shop": "a"}], time=at)[0]["clicks_30d"] == 27
        assert project.online("buyer").get([{"email": "c1@example.org"}], time=at)[0]["clicks_30d"] == 27
        assert {"bought", "buyer", "place"} == set(found.views)
        assert found.rows["main: dataset.kept"] == 80 and found.rows["main: clicks"] == 27
        assert found.versions == (champion,)
        assert found.rows["main: predictions.keeps"] == 1
        assert emails(project, "predictions.keeps") == sorted({*buyers} - {ERASED})
        assert list(project.adapters.store.entries("predictions/keeps", 0)) == []
        version = project.adapters.state.get(ModelVersion, champion)
        assert version is not None and version.erased_at is not None
        assert "rows erased on" in str(project.show("kept").versions)
        assert project.predict("keeps", [{"email": "c1@example.org", "shop": "a"}])
        assert traces(tmp_path) == []
        record = project.run()
        assert record.status == "published"
        assert project.status()
