"""Faults of the object store, of the catalog's server, and of a machine that dies while it writes."""

import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from mainstem.errors import StorageError
from mainstem.lake.iceberg import IcebergLake
from mainstem.lake.places import remote
from mainstem.lake.places.remote import Remote
from mainstem.testing.contracts.lake import commit, ids
from s3 import Busy, s3_server


@pytest.fixture(scope="module")
def server():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


@pytest.fixture
def busy(server):
    found = Busy(server)
    yield found
    found.close()


def new_database(url: str) -> str:
    name = f"t{uuid4().hex}"
    engine = create_engine(f"{url.replace('://', '+psycopg://')}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{url}/{name}"


@pytest.fixture
def opened():
    """Open lakes that are closed at the end."""
    lakes = list[IcebergLake]()

    def open_at(storage: dict[str, str], catalog: str, mirror: Path, prefix: str) -> IcebergLake:
        lakes.append(IcebergLake(Remote(f"s3://lakes/{prefix}", storage, mirror), catalog))
        return lakes[-1]

    yield open_at
    for lake in lakes:
        lake.close()


def test_a_store_that_is_busy_for_a_while_is_asked_again(busy, opened, postgresql, tmp_path):
    lake = opened(busy.storage, new_database(postgresql), tmp_path / "mirror", uuid4().hex)
    first = commit(lake, [1])
    busy.refused = 3
    second = commit(lake, [2], first)
    assert busy.refused == 0
    assert ids(lake, second) == [1, 2]


def test_a_store_that_stays_busy_is_an_error_that_may_pass_and_leaves_no_half_snapshot(
    busy, opened, postgresql, tmp_path, monkeypatch
):
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    catalog, prefix = new_database(postgresql), uuid4().hex
    lake = opened(busy.storage, catalog, tmp_path / "mirror", prefix)
    first = commit(lake, [1])
    before = [snapshot.snapshot_id for snapshot in table(lake, first).metadata.snapshots]
    busy.refused = 1_000
    with pytest.raises(StorageError) as caught:
        commit(lake, [2], first)
    assert caught.value.transient and "later" in (caught.value.hint or "")
    assert "secret-of-tests" not in str(caught.value)
    busy.refused = 0
    other = opened(busy.storage, catalog, tmp_path / "other", prefix)
    assert [snapshot.snapshot_id for snapshot in table(other, first).metadata.snapshots] == before
    assert ids(other, first) == [1]
    assert ids(other, commit(other, [3], first)) == [1, 3]


def table(lake: IcebergLake, snapshot):
    return lake._catalog.load_table(("mainstem", snapshot.physical))


def test_a_run_outlives_a_restart_of_the_catalogs_server(server, opened, restartable, tmp_path):
    lake = opened(server.storage, new_database(restartable.url), tmp_path / "mirror", uuid4().hex)
    snapshot = commit(lake, [0])
    stopped = threading.Event()

    def restart() -> None:
        restartable.stop("fast")
        stopped.set()
        time.sleep(1.5)
        restartable.start()

    thread = threading.Thread(target=restart)
    thread.start()
    assert stopped.wait(60)
    for n in range(1, 4):
        snapshot = commit(lake, [n], snapshot)
    thread.join()
    assert ids(lake, snapshot) == [0, 1, 2, 3]


KILLED = """
    import sys
    from pathlib import Path
    from mainstem.lake.iceberg import IcebergLake
    from mainstem.lake.places.remote import Remote
    from mainstem.testing.contracts.lake import commit

    url, catalog, mirror, endpoint = sys.argv[1:]
    storage = {"access_key": "k", "secret_key": "s", "region": "us-east-1", "endpoint": endpoint}
    lake = IcebergLake(Remote(url, storage, Path(mirror)), catalog)
    base = None
    print("ready", flush=True)
    for n in range(1, 10_000):
        base = commit(lake, list(range(n * 20_000, (n + 1) * 20_000)), base)
        print(n, flush=True)
"""


@pytest.mark.timeout(240)
def test_a_machine_that_is_killed_while_it_writes_leaves_whole_snapshots_only(server, opened, postgresql, tmp_path):
    catalog, prefix, chance = new_database(postgresql), uuid4().hex, random.Random(4)
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    orphans = 0
    for attempt in range(4):
        arguments = [f"s3://lakes/{prefix}", catalog, str(tmp_path / f"killed-{attempt}"), server.storage["endpoint"]]
        child = subprocess.Popen([sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        assert child.stdout.readline().strip() == "1"
        time.sleep(chance.uniform(0, 0.6))
        child.kill()
        child.communicate()
        lake = opened(server.storage, catalog, tmp_path / f"reader-{attempt}", prefix)
        base = commit(lake, [attempt])
        for snapshot in lake._catalog.load_table(("mainstem", base.physical)).metadata.snapshots:
            paths = [file.path for file in lake.files_of(replaced(base, snapshot.snapshot_id))]
            lake._place.fetch(_name(path) for path in paths)
            assert all(Path(path).exists() for path in paths)
        swept = lake.sweep([base], unpinned=("run-1",), older_than_hours=-1)
        orphans += swept.files
        assert ids(lake, base) == [attempt]
    assert orphans > 0


def _name(path: str) -> str:
    return "/".join(Path(path).parts[-4:])


def replaced(base, id: int):
    from dataclasses import replace

    return replace(base, id=id)
