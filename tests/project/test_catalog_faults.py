"""The lake's catalog is locked, gone, or restored from an earlier backup: nothing is lost, and the next run goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


@ms.table(key="id")
def orders(sales: Any) -> Any:
    return sales.filter(_.id >= 0)


@ms.table(key="id", write="merge")
def merged(sales: Any) -> Any:
    return sales


@ms.table
def total(orders: Any) -> Any:
    return orders.aggregate(n=orders.count())


def add(root: Path, number: int) -> None:
    (root / "sales").mkdir(exist_ok=True)
    (root / "sales" / f"{number}.csv").write_text(f"id,name\n{number},n{number}\n")


def opened(root: Path) -> Project:
    nodes = {"sales": ms.files("sales/*.csv", key="id"), "orders": orders, "merged": merged, "total": total}
    return ms.Project(Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve()), nodes)


def run(root: Path, number: int) -> None:
    add(root, number)
    with opened(root) as project:
        project.run()


def ids(root: Path) -> list[list[int]]:
    with opened(root) as project:
        found = [project.table(name).to_pyarrow()["id"].to_pylist() for name in ("sales", "orders", "merged")]
        return [sorted(each) for each in found] + [project.table("total").to_pyarrow()["n"].to_pylist()]


def outside(root: Path) -> list[int]:
    """What a reader with a plain PyIceberg catalog finds."""
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("mainstem", uri=f"sqlite:///{root}/.mainstem/lake/catalog.db")
    try:
        found = catalog.load_table("main.orders").scan().to_arrow()["id"].to_pylist()
        return sorted(found)
    finally:
        catalog.engine.dispose()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project after two runs, with the catalog as it was after the first one beside it."""
    run(tmp_path, 1)
    shutil.copy(tmp_path / ".mainstem" / "lake" / "catalog.db", tmp_path / "earlier.db")
    run(tmp_path, 2)
    return tmp_path


@pytest.mark.parametrize("how", ["gone", "earlier"])
def test_a_catalog_that_lost_commits_learns_them_from_the_lake(root: Path, how: str, caplog: Any) -> None:
    catalog = root / ".mainstem" / "lake" / "catalog.db"
    catalog.unlink()
    if how == "earlier":
        shutil.copy(root / "earlier.db", catalog)
    assert ids(root) == [[1, 2]] * 3 + [[2]], "what is published is read without the catalog"
    run(root, 3)
    assert ids(root) == [[1, 2, 3]] * 3 + [[3]]
    assert outside(root) == [1, 2, 3]
    assert "the catalog is behind the lake: it is pointed to the newest metadata of sales__" in caplog.text
    with opened(root) as project:
        project.gc()
        project.rollback()
    assert ids(root) == [[1, 2]] * 3 + [[2]] and outside(root) == [1, 2]
    caplog.clear()
    with opened(root) as project:
        project.run(forward=True)
    assert ids(root) == [[1, 2, 3]] * 3 + [[3]] and not caplog.text


@pytest.mark.parametrize("how", ["gone", "earlier"])
def test_gc_deletes_nothing_that_a_catalog_lost(root: Path, how: str) -> None:
    lake = root / ".mainstem" / "lake"
    (lake / "catalog.db").unlink()
    if how == "earlier":
        shutil.copy(root / "earlier.db", lake / "catalog.db")
    long_ago = time.time() - 3 * 86_400
    for path in [*(lake / "tables").rglob("*"), lake / "tables"]:
        os.utime(path, (long_ago, long_ago))
    with opened(root) as project:
        assert project.gc().files == 0
    assert ids(root) == [[1, 2]] * 3 + [[2]]


def test_metadata_that_is_damaged_is_left_out(root: Path, caplog: Any) -> None:
    (root / ".mainstem" / "lake" / "catalog.db").unlink()
    tables = root / ".mainstem" / "lake" / "tables"
    for directory in tables.iterdir():
        (directory / "metadata" / "99999-of-a-killed-writer.metadata.json").write_bytes(b'{"last-updated-ms": 99')
    run(root, 3)
    assert ids(root) == [[1, 2, 3]] * 3 + [[3]]


def test_a_run_waits_for_a_locked_catalog(root: Path) -> None:
    holder = sqlite3.connect(root / ".mainstem" / "lake" / "catalog.db", check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    released = threading.Timer(1.5, holder.rollback)
    released.start()
    run(root, 3)
    released.join()
    holder.close()
    assert ids(root) == [[1, 2, 3]] * 3 + [[3]]
