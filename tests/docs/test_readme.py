"""The example of README.md is a project: it resolves, trains, ships and answers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms
from mainstem.nodes.base import Node

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

ORDERS = [
    {
        "order_id": f"o{n}",
        "customer_id": f"c{n % 7}",
        "ordered_at": datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=6 * n),
        "amount": -1.0 if n == 5 else float(n % 40),
        "returned": n * 7919 % 10 < (5 if n % 7 == 3 else 1),
    }
    for n in range(600)
]
CUSTOMERS = [{"customer_id": f"c{n}", "country": "DE" if n % 2 else "FR"} for n in range(7)]


def example() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    return str(block)


@pytest.fixture
def nodes() -> dict[str, Node]:
    names: dict[str, Any] = {}
    exec(compile(example(), "README.md", "exec"), names)
    return {name: value for name, value in names.items() if isinstance(value, Node)}


def test_the_example_runs(nodes: dict[str, Node]) -> None:
    with ms.testing.project(nodes, {"orders": ORDERS, "customers": CUSTOMERS}) as project:
        project.run()
        assert project.table("quarantine.purchases").to_pyarrow()["order_id"].to_pylist() == ["o5"]
        project.promote("will_return")
        (answer,) = project.predict("packing", [{"customer_id": "c3", "amount": 12.5, "country": "DE"}])
        assert 0 < answer["score"] < 1


def test_the_example_is_short() -> None:
    code = [line for line in example().splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 22


def test_the_last_section_lists_every_page() -> None:
    listed = README.split("## Read on")[1]
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in listed] == []
