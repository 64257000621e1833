"""The flights and shop projects from their templates, whole, on both engines: every published table is equal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest

import mainstem as ms
from kafka_broker import until
from mainstem.cli.processes import free_port
from spark_session import WARNINGS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_600), *WARNINGS]

WORLDS = {"flights": ("world.py", "WORLD", "late"), "shop": ("company.py", "SHOP", "churn")}
CLOSE = 1e-9
OF_THE_RUN = ("_seq", "_run", "_at")


def mainstem(root: Path, *arguments: str, **more: str) -> None:
    command = [sys.executable, "-m", "mainstem", *arguments]
    ended = subprocess.run(command, cwd=root, env={**os.environ, **more}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def offered(root: Path, script: str, prefix: str, running: ExitStack) -> dict[str, str]:
    """Start the script of a template that offers its data. Return the environment that leads there."""
    port = free_port(18_111)
    env = {f"{prefix}_URL": f"http://127.0.0.1:{port}", f"{prefix}_PORT": str(port)}
    process = subprocess.Popen([sys.executable, script], cwd=root, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
    running.callback(process.wait)
    running.callback(process.kill)

    def up() -> bool:
        try:
            return httpx.get(env[f"{prefix}_URL"], timeout=5).status_code < 500
        except httpx.TransportError:
            return False

    until(up)
    return env


def published(root: Path) -> dict[str, pa.Table]:
    """Return the tables of a project's release, in the order of their columns without fractions."""
    found = {}
    with ms.load(root) as project:
        for name in project.release.tables:
            table = project.query(f'select * from "{name}"')
            table = table.drop_columns([column for column in table.column_names if column in OF_THE_RUN])
            order = [
                field.name for field in table.schema if not (_nested(field.type) or pa.types.is_floating(field.type))
            ]
            found[name] = table.sort_by([(column, "ascending") for column in order])
    return found


def _nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def differing(one: pa.Table, other: pa.Table) -> list[str]:
    """Return the columns in which tables differ: fractions by more than a billionth, others at all."""
    assert one.schema.equals(other.schema), (one.schema, other.schema)
    assert one.num_rows == other.num_rows
    found = []
    for name in one.column_names:
        a, b = one[name].combine_chunks(), other[name].combine_chunks()
        if pa.types.is_floating(a.type):
            assert a.is_null().equals(b.is_null())
            same = np.allclose(*(each.to_numpy(zero_copy_only=False) for each in (a, b)), CLOSE, CLOSE, equal_nan=True)
        else:
            same = a.equals(b) or (
                _nested(a.type) and json.dumps(a.to_pylist(), default=str) == json.dumps(b.to_pylist(), default=str)
            )
        if not same:
            found.append(name)
    return found


@pytest.mark.parametrize("template", WORLDS)
def test_every_table_of_a_project_is_equal_on_both_engines(tmp_path: Path, running: ExitStack, template: str) -> None:
    script, prefix, model = WORLDS[template]
    roots = {engine: tmp_path / engine for engine in ("duckdb", "spark")}
    for root in roots.values():
        mainstem(tmp_path, "init", template, str(root))
    env = offered(roots["duckdb"], script, prefix, running)
    mainstem(roots["duckdb"], "run", **env)
    if not (roots["spark"] / "data").exists():
        (roots["spark"] / "data").symlink_to(roots["duckdb"] / "data")
    mainstem(roots["spark"], "run", MAINSTEM_ENGINE="spark", **env)
    one, other = published(roots["duckdb"]), published(roots["spark"])
    assert one.keys() == other.keys()
    assert {name: found for name in one if (found := differing(one[name], other[name]))} == {}
    assert one[f"dataset.{model}"].num_rows > 1_000
