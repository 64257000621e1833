"""A table is written in the order that it declares."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import UnknownName
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.tables.sql_files import parse_file

ROWS = 300_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sorted")
    (root / "sales").mkdir()
    more(root, 1, ROWS)
    return root


def more(root: Path, number: int, rows: int) -> None:
    with duckdb.connect() as db:
        select = f"SELECT range AS id, range * 7919 % 10007 AS customer FROM range({rows})"
        db.execute(f"COPY ({select}) TO '{root}/sales/{number}.parquet' (FORMAT parquet)")


def opened(root: Path, state: str, **options: Any) -> ms.Project:
    @ms.table(**options)
    def orders(sales: Any) -> Any:
        return sales.mutate(twice=sales.id * 2)

    profile = Profile(lake=f"{state}/lake", state=f"sqlite:///{state}/state.db")
    settings = Settings(root, ProjectSettings("shop", ()), profile, "default", Serve())
    return ms.Project(settings, {"sales": ms.files("sales/*.parquet"), "orders": orders})


def customers(project: ms.Project) -> list[list[int]]:
    files = project.adapters.lake.scan(project.release.tables["orders"]).files
    return [pq.read_table(file).column("customer").to_pylist() for file in files]


def read_by_a_query(project: ms.Project) -> int:
    """The rows of the row groups whose range has the customer 77."""
    rows = 0
    for file in project.adapters.lake.scan(project.release.tables["orders"]).files:
        metadata = pq.read_metadata(file)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            (column,) = [
                group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == "customer"
            ]
            if column.statistics.min <= 77 <= column.statistics.max:
                rows += group.num_rows
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clean": [ms.clean.within("id", 0, ROWS)]},
        {"checks": [ms.between("id", 0, ROWS - 10, severity="quarantine")]},
    ],
    ids=["plain", "cleaned", "quarantined"],
)
def test_rows_are_written_in_the_order(root: Path, options: dict[str, Any], request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    with opened(root, f"{name}-as-it-is", **options) as project:
        project.run()
        assert read_by_a_query(project) > ROWS - 100
    with opened(root, f"{name}-sorted", sort="customer", **options) as project:
        project.run()
        (found,) = customers(project)
        assert found == sorted(found)
        assert read_by_a_query(project) < ROWS / 2


def test_what_is_added_and_merged_is_sorted_too(root: Path) -> None:
    with opened(root, "grown", sort=["customer", "id"]) as project:
        project.run()
        more(root, 2, 1_000)
        project.run()
        found = customers(project)
        assert [len(each) for each in found] == [ROWS, 1_000]
        assert all(each == sorted(each) for each in found)
        project.compact("orders")
        (merged,) = customers(project)
        assert merged == sorted(merged) and len(merged) == ROWS + 1_000
        assert not project.plan()


def test_another_order_builds_nothing_again(root: Path) -> None:
    with opened(root, "other") as project:
        project.run()
    with opened(root, "other", sort="customer") as project:
        assert not project.plan()


def test_sql_says_it_in_a_comment(tmp_path: Path) -> None:
    (tmp_path / "orders.sql").write_text("-- sort: customer, id\nSELECT * FROM sales\n")
    assert parse_file(tmp_path / "orders.sql").sort == ("customer", "id")


def test_an_unknown_column(root: Path) -> None:
    with opened(root, "unknown", sort="costumer") as project, pytest.raises(UnknownName, match="costumer"):
        project.plan()
