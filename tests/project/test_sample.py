"""A branch works on a sample by key: joins find their rows, and a sampled branch says so everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.cli.render import output
from mainstem.errors import ConflictError, RequestError, UnknownName

ORDERS, CUSTOMERS = 3_000, 600
PROJECT = """
import mainstem as ms
from ibis import _

customers = ms.files("customers.csv", key="customer", known="always")
orders = ms.files(
    "orders*.csv", key="id", known="always", checks=[ms.foreign_key("buyer", customers, "customer")]
)
visits = ms.files("visits.csv", known="always")
countries = ms.files("countries.csv", key="country", known="always")

@ms.table(key="id", checks=[ms.not_null("name")])
def bought(orders, customers, countries):
    known = orders.left_join(customers, orders.buyer == customers.customer).drop("customer")
    return known.left_join(countries, "country").drop("country_right")

@ms.table
def seen(visits, customers):
    return visits.anti_join(customers, "customer").aggregate(strangers=_.count())
"""


def write(root: Path, name: str, header: str, rows: list[str]) -> None:
    (root / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "s"\nmodules = ["sampled"]\n')
    (tmp_path / "sampled.py").write_text(PROJECT)
    write(tmp_path, "customers", "customer,name,country", [f"{n},c{n},{n % 7}" for n in range(CUSTOMERS)])
    write(tmp_path, "orders", "id,buyer", [f"{n},{n * 7 % CUSTOMERS}" for n in range(ORDERS)])
    write(tmp_path, "visits", "customer,page", [f"{n % CUSTOMERS},p{n % 3}" for n in range(2_000)])
    write(tmp_path, "countries", "country,code", [f"{n},X{n}" for n in range(7)])
    with ms.load(tmp_path) as project:
        project.run()
    return tmp_path


@pytest.fixture
def load(root: Path) -> Iterator[Callable[[str], ms.Project]]:
    opened: list[ms.Project] = []

    def loaded(branch: str) -> ms.Project:
        opened.append(ms.load(root, branch=branch))
        return opened[-1]

    yield loaded
    for project in opened:
        project.close()


def rows(project: ms.Project) -> dict[str, int]:
    return {
        name: project.release.tables[name].rows for name in ("customers", "orders", "visits", "countries", "bought")
    }


def test_rows_of_sources_that_refer_to_the_key_are_kept_together(load: Callable[[str], ms.Project]) -> None:
    dev = load("dev")
    dev.run(sample=0.1, sample_by="customers")
    customers = set(dev.table("customers").to_pyarrow()["customer"].to_pylist())
    assert 0.05 * CUSTOMERS < len(customers) < 0.16 * CUSTOMERS
    buyers = dev.table("orders").to_pyarrow()["buyer"].to_pylist()
    assert set(buyers) <= customers and len(buyers) == sum(n * 7 % CUSTOMERS in customers for n in range(ORDERS))
    visitors = dev.table("visits").to_pyarrow()["customer"].to_pylist()
    assert len(visitors) == sum(n % CUSTOMERS in customers for n in range(2_000))
    assert rows(dev)["countries"] == 7 and rows(dev)["bought"] == len(buyers)
    assert dev.table("seen").to_pyarrow()["strangers"].to_pylist() == [0]
    assert rows(load("main")) == {**rows(load("main")), "orders": ORDERS, "customers": CUSTOMERS}


def test_the_sample_stays_until_all_rows_are_asked_for(root: Path, load: Callable[[str], ms.Project]) -> None:
    dev = load("dev")
    dev.run(sample=0.1)  # the largest source with a key: orders
    assert dev.release.sample is not None and dev.release.sample.source == "orders"
    assert 0.07 * ORDERS < rows(dev)["orders"] < 0.13 * ORDERS and rows(dev)["customers"] == CUSTOMERS
    assert not dev.plan() and dev.run().status == "unchanged"
    write(root, "orders2", "id,buyer", [f"{n},{n % CUSTOMERS}" for n in range(ORDERS, 2 * ORDERS)])
    dev.run()
    assert 0.07 * 2 * ORDERS < rows(dev)["orders"] < 0.13 * 2 * ORDERS
    kept = set(dev.table("orders").to_pyarrow()["id"].to_pylist())
    again = load("again")
    again.run(sample=0.1, sample_by="orders")
    assert set(again.table("orders").to_pyarrow()["id"].to_pylist()) == kept
    dev.run(sample=1)
    assert rows(dev)["orders"] == 2 * ORDERS and dev.release.sample is None


def test_what_is_sampled_says_so_and_is_not_promoted(
    load: Callable[[str], ms.Project], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    dev = load("dev")
    dev.run(sample=0.05)
    assert dev.status().sample == "5 % of orders" and load("main").status().sample is None
    output(json=False).plan(dev.plan(), [])
    assert "branch dev works on a sample: 5 % of orders" in capsys.readouterr().out
    output(json=False).branches(dev.branches())
    assert "a sample: 5 % of orders" in capsys.readouterr().out
    with pytest.raises(ConflictError, match="'dev' works on a sample, and cannot be promoted"):
        dev.promote_branch("dev")
    dev.create_branch("more", "dev")
    assert load("more").release.sample == dev.release.sample
    dev.run(sample=1)
    assert dev.promote_branch("dev").status == "published"


def test_main_works_on_all_rows(load: Callable[[str], ms.Project]) -> None:
    with pytest.raises(RequestError, match="'main' does not work on a sample"):
        load("main").run(sample=0.5)
    for wrong in (0, -1, 1.5):
        with pytest.raises(RequestError, match="is not a fraction"):
            load("dev").run(sample=wrong)
    with pytest.raises(UnknownName, match="unknown source with a key 'visits'"):
        load("dev").run(sample=0.5, sample_by="visits")
