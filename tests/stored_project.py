"""A small project with its lake on an S3 server, and its catalog and state in PostgreSQL; each run is a process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import create_engine, text

SECRET = "secret-of-tests"

MODULE = """
import ibis
import mainstem as ms
from ibis import _

sales = ms.files("sales/*.csv", key="sale_id", time="sold_at", known="always")

@ms.table(key="sale_id", checks=[ms.not_null("shop"), ms.between("price", 0, 90, severity="quarantine")])
def priced(sales):
    "One row per sale, with what it cost."
    return sales.mutate(cost=_.price * _.pieces, day=_.sold_at.date(), words=_.note.split(" "))

@ms.table(key="sale_id", partition=["shop"])
def by_shop(priced):
    return priced.select("sale_id", "shop", "cost", "sold_at")

@ms.table(key="shop")
def shops(by_shop):
    return by_shop.group_by("shop").agg(sales=_.count(), cost=_.cost.sum(), last=_.sold_at.max())
"""


@dataclass
class Machine:
    """A directory with the project, as one machine has it."""

    root: Path
    engine: str

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "LAKE_SECRET": SECRET, "MAINSTEM_ENGINE": self.engine, **more}

    def begin(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mainstem", *(arguments or ("run",))]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment(**more), stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def call(self, *arguments: str, **more: str) -> tuple[int, str]:
        """Call `mainstem` with the arguments (default: run). Return its exit code and what it said."""
        process = self.begin(*arguments, **more)
        said, _ = process.communicate(timeout=280)
        assert SECRET not in said
        return process.returncode, said

    def run(self, *arguments: str, **more: str) -> str:
        code, said = self.call("run", *arguments, **more)
        assert code == 0, said
        return said

    def add(self, name: str, numbers: range) -> None:
        """Add a file of sales."""
        place = self.root / "sales" / f"{name}.csv"
        place.parent.mkdir(exist_ok=True)
        rows = [f"{n},shop-{n * 7 % 5},{n * 37 % 9_300 / 100},{n % 4},{_instant(n)},a b{n}" for n in numbers]
        place.write_text("\n".join(["sale_id,shop,price,pieces,sold_at,note", *rows]) + "\n")


def _instant(n: int) -> str:
    return f"2025-0{1 + n % 9}-1{n % 10}T0{n % 10}:00:00.{n % 1000:03}Z"


def databases(url: str) -> tuple[str, str]:
    """Create two databases at a server. Return their URLs: of a catalog, and of a state."""
    names = f"c{uuid4().hex}", f"s{uuid4().hex}"
    engine = create_engine(f"{url.replace('://', '+psycopg://')}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{url}/{names[0]}", f"{url}/{names[1]}"


def machine(
    root: Path,
    storage: dict[str, str],
    served: tuple[str, str],
    prefix: str,
    engine: str = "duckdb",
    spark: dict[str, Any] | None = None,
    module: str = MODULE,
) -> Machine:
    """Write the project to `root`, under a profile with its lake at `s3://lakes/PREFIX`."""
    root.mkdir()
    catalog, state = served
    lines = "\n".join(f'{name} = "{value}"' for name, value in storage.items() if name != "secret_key")
    settings = "\n".join(f'"{name}" = "{value}"' for name, value in {"master": "local[2]", **(spark or {})}.items())
    (root / "mainstem.toml").write_text(
        f"""
[project]
name = "sales"
modules = ["sales"]

[profile.default]
lake = "s3://lakes/{prefix}"
catalog = "{catalog}"
state = "{state.replace("://", "+psycopg://")}"
memory = "1 GiB"

[profile.default.storage]
secret_key = "${{env:LAKE_SECRET}}"
{lines}

[profile.default.spark]
{settings}
"""
    )
    (root / "sales.py").write_text(module)
    return Machine(root, engine)
