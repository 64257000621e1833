"""The shop of the template, with its lake on a real S3 server and its catalog and state in a real PostgreSQL."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import create_engine, text

import mainstem as ms
import mainstem.sources.inspection  # here: pytest cannot rewrite modules while threads import others (CPython 106905)
from mainstem.errors import SettingsError, StorageError
from mainstem.integrations import mlflow
from mainstem.masking import masked
from mainstem.project.project import Project
from mainstem.settings import load as load_settings
from postgresql import postgresql as postgresql_of_tests
from s3 import s3_server

postgresql = postgresql_of_tests

TEMPLATE = Path(__file__).parents[2] / "src/mainstem/cli/templates/shop"
FOREIGN = {"_run", "_at", "_quarantined_at"}
"""Columns that say by which run a row was set aside, and when."""


@pytest.fixture(scope="module")
def server():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


@pytest.fixture
def databases(postgresql: str) -> tuple[str, str]:
    """The URLs of two new databases: of a catalog, and of a state."""
    names = f"c{uuid4().hex}", f"s{uuid4().hex}"
    engine = create_engine(f"{postgresql.replace('://', '+psycopg://')}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    catalog, state = (f"{postgresql}/{name}" for name in names)
    return catalog, state


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port) -> Iterator[Path]:
    """A directory with the shop, whose systems are up."""
    root = tmp_path / "local"
    shutil.copytree(TEMPLATE, root, ignore=shutil.ignore_patterns("__pycache__"))
    port = free_port()
    monkeypatch.setenv("SHOP_URL", f"http://127.0.0.1:{port}")
    company = subprocess.Popen([sys.executable, "company.py", "--port", str(port)], cwd=root, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert company.poll() is None and time.monotonic() < end
                time.sleep(0.1)
        yield root
    finally:
        company.kill()
        company.wait()


def elsewhere(root: Path, place: Path, server: Any, databases: tuple[str, str], prefix: str) -> Path:
    """A copy of a project's definitions and data, under a profile with its lake at the server."""
    left_out = shutil.ignore_patterns(".mainstem", "__pycache__")
    shutil.copytree(root, place, ignore=left_out)
    catalog, state = databases
    lines = [f'{name} = "{value}"' for name, value in server.storage.items() if name != "secret_key"]
    (place / "mainstem.toml").write_text(
        f"""
[project]
name = "shop"
modules = ["shop"]

[profile.default]
lake = "s3://lakes/{prefix}"
catalog = "{catalog}"
state = "{state.replace("://", "+psycopg://")}"

[profile.default.storage]
secret_key = "${{env:LAKE_SECRET}}"
{chr(10).join(lines)}
"""
    )
    return place


def content(project: Project, name: str) -> pa.Table:
    """All rows of a relation, in an order of their own."""
    rows = project.table(name).to_pyarrow()
    rows = rows.drop_columns([column for column in rows.column_names if column in FOREIGN])
    return rows.sort_by(
        [(column, "ascending") for column in rows.column_names if not pa.types.is_nested(rows[column].type)]
    )


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables are equal: floats up to 1e-9, because parallel sums add in any order."""
    if one.schema != other.schema or one.num_rows != other.num_rows:
        return False
    return all(_same(one[name], other[name]) for name in one.column_names)


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(one.type):
        return one.equals(other)
    return np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-9, atol=0, equal_nan=True)


def predictions(project: Project) -> list[dict[str, Any]]:
    asked = [{"customer_no": f"{n:05}", "asked_at": "2025-10-01T00:00:00Z"} for n in range(1, 40)]
    return [each["score"] for each in project.predict("retention", asked)]


@pytest.mark.timeout(600)
def test_the_shop_is_equal_to_that_on_a_local_disk(shop, tmp_path, server, databases, monkeypatch):
    monkeypatch.setenv("LAKE_SECRET", server.storage["secret_key"])
    place = elsewhere(shop, tmp_path / "remote", server, databases, "shop")
    local, remote = ms.load(shop), ms.load(place)
    for project in (local, remote):
        project.run()
        project.promote("churn")
        project.run()
    tables = sorted(local.release.tables)
    assert tables == sorted(remote.release.tables) and len(tables) > 8
    for name in tables:
        assert same(content(local, name), content(remote, name)), name
    assert content(local, "dataset.churn").num_rows > 1_000
    answers = predictions(local)
    assert len(set(answers)) > 5 and predictions(remote) == pytest.approx(answers, rel=1e-6)
    # Another machine: an empty mirror, the same lake, catalog and state.
    shutil.copytree(place, tmp_path / "other", ignore=shutil.ignore_patterns(".mainstem"))
    published = remote.release.id
    remote.close()
    other = ms.load(tmp_path / "other")
    assert other.release.id == published
    for name in tables:
        assert same(content(local, name), content(other, name)), name
    assert not {step.kind for step in other.plan().steps} & {"build", "train"}
    other.run()  # it brings the views online on this machine
    assert predictions(other) == pytest.approx(answers, rel=1e-6)
    other.close()
    local.close()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('lake = "s3://lakes/x"', "requires `catalog`"),
        ('lake = "file:///tmp/lake"', "no known kind of store"),
        ('lake = "s3://"', "no known kind of store"),
        ('lake = "s3://lakes/x"\nstorage = {regoin = "x"}', "unknown setting 'regoin'"),
        ('storage = {region = "x"}', "`storage` is for a lake at a URL"),
    ],
)
def test_a_profile_that_lacks_something_is_refused(tmp_path, lines, said):
    (tmp_path / "mainstem.toml").write_text(f'[project]\nname = "p"\nmodules = ["m"]\n[profile.default]\n{lines}\n')
    (tmp_path / "m.py").write_text('import mainstem as ms\nrows = ms.files("rows.csv", key="id")\n')
    (tmp_path / "rows.csv").write_text("id\n1\n")
    with pytest.raises(SettingsError) as caught:
        ms.load(tmp_path).run()
    assert said in str(caught.value)
    assert not list(tmp_path.rglob("*:*"))


def test_keys_that_are_written_in_the_file_are_masked_too(tmp_path):
    (tmp_path / "mainstem.toml").write_text(
        '[project]\nname = "p"\nmodules = ["m"]\n[profile.default]\nlake = "s3://lakes/x"\n'
        '[profile.default.storage]\nregion = "us-east-1"\nsecret_key = "plainly-written-secret"\n'
    )
    load_settings(tmp_path)
    assert masked("plainly-written-secret in us-east-1") == "*** in us-east-1"


HELD = """
import sys
import mainstem as ms
from mainstem.planning.process import me

with ms.load(sys.argv[1]) as project, project.adapters.state.hold("main", me()):
    print(me(), flush=True)
    sys.stdin.readline()
"""


def test_of_two_machines_only_one_runs_at_a_time(tmp_path, server, databases):
    """Each machine has a directory of its own. The lease is in PostgreSQL."""
    catalog, state = databases
    storage = "\n".join(f'{name} = "{value}"' for name, value in server.storage.items())
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
        (place / "mainstem.toml").write_text(
            '[project]\nname = "p"\nmodules = ["m"]\n[profile.default]\nlake = "s3://lakes/two"\n'
            f'catalog = "{catalog}"\nstate = "{state.replace("://", "+psycopg://")}"\n[profile.default.storage]\n{storage}\n'
        )
        (place / "m.py").write_text('import mainstem as ms\nrows = ms.files("rows.csv", key="id")\n')
        (place / "rows.csv").write_text("id\n1\n")
    run = [sys.executable, "-m", "mainstem", "run"]
    first = subprocess.run(run, cwd=places[0], capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    holder = [sys.executable, "-c", HELD, str(places[0])]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None and held.stdin is not None
        who = held.stdout.readline().strip()
        refused = subprocess.run(run, cwd=places[1], capture_output=True, text=True)
        assert refused.returncode == 1
        assert "another run is in progress on branch 'main'" in refused.stderr + refused.stdout
        assert who.split(",")[0] in " ".join((refused.stderr + refused.stdout).split())
        held.stdin.write("\n")
    (places[1] / "rows.csv").write_text("id\n1\n2\n")
    second = subprocess.run(run, cwd=places[1], capture_output=True, text=True)
    assert second.returncode == 0, second.stdout + second.stderr
    with ms.load(places[0]) as project:
        assert sorted(project.table("rows").to_pyarrow()["id"].to_pylist()) == [1, 2]


def test_another_machine_reproduces_and_logs_a_version(tmp_path, server, databases):
    catalog, state = databases
    storage = "\n".join(f'{name} = "{value}"' for name, value in server.storage.items())
    places = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    for place in places:
        place.mkdir()
        (place / "mainstem.toml").write_text(
            '[project]\nname = "p"\nmodules = ["m"]\n[profile.default]\nlake = "s3://lakes/again"\n'
            f'catalog = "{catalog}"\nstate = "{state.replace("://", "+psycopg://")}"\n[profile.default.storage]\n{storage}\n'
        )
        (place / "m.py").write_text(
            'import mainstem as ms\nrows = ms.files("rows.csv", key="id")\n'
            'price = ms.model(rows, target="price", features=["area"], candidates=["linear"])\n'
        )
        lines = [f"{n},{n * 7 % 100},{n * 21 % 300 + n % 5}" for n in range(120)]
        (place / "rows.csv").write_text("\n".join(["id,area,price", *lines]) + "\n")
    with ms.load(places[0]) as project:
        project.run()
    with ms.load(places[1]) as project:
        assert project.reproduce("price-1").equal
    with ms.load(places[2]) as project, pytest.raises(StorageError, match="the server cannot be reached"):
        mlflow.log(project, "price-1", uri="http://127.0.0.1:9")
