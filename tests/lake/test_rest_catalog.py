"""A lake whose catalog is a real Iceberg REST server: Iceberg's own."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from kafka_broker import certify
from mainstem.errors import SettingsError, StorageError
from mainstem.lake.iceberg import IcebergLake
from mainstem.lake.places.remote import Remote
from mainstem.ports import ReplaceAll
from mainstem.testing.contracts.lake import LakeContract, commit, ids
from rest_catalog import Guarded
from s3 import s3_server


@pytest.fixture
def opened():
    """Open lakes that are closed at the end."""
    lakes = list[IcebergLake]()

    def open_at(*arguments: object, **options: object) -> IcebergLake:
        lakes.append(IcebergLake(*arguments, **options))
        return lakes[-1]

    yield open_at
    for lake in lakes:
        lake.close()


@pytest.fixture(scope="module")
def store():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


@pytest.fixture
def guarded(new_catalog):
    found = Guarded(new_catalog())
    yield found
    found.close()


class TestRestCatalog(LakeContract):
    @pytest.fixture
    def open_lake(self, new_catalog, opened, tmp_path: Path):
        url = new_catalog()
        return lambda: opened(tmp_path / "lake", url)


class TestRestCatalogAtStore(LakeContract):
    @pytest.fixture
    def open_lake(self, machine):
        return machine


@pytest.fixture
def machine(new_catalog, store, opened, tmp_path: Path):
    """Open one lake at S3 as a machine of this name does: each has a mirror of its own."""
    url, prefix = new_catalog(store.storage), uuid4().hex
    return lambda name="one": opened(Remote(f"s3://lakes/{prefix}", store.storage, tmp_path / name), url)


def shown(lake: IcebergLake) -> dict[str, list[int]]:
    """Return what a reader outside Mainstem finds: the ids of each table in `main`."""
    from pyiceberg.catalog.rest import RestCatalog

    catalog = RestCatalog("any", uri=lake._uri)
    spaces = [("main",), *catalog.list_namespaces("main")]
    names = [name for space in spaces for name in catalog.list_tables(space)]
    tables = {".".join(name): catalog.load_table(name) for name in names}
    catalog.close()
    return {name: sorted(table.scan().to_arrow().column("id").to_pylist()) for name, table in tables.items()}


def test_readers_outside_see_what_is_offered_and_nothing_else(new_catalog, opened, tmp_path: Path):
    lake = opened(tmp_path / "lake", new_catalog())
    first = commit(lake, [1])
    second = commit(lake, [2], first)
    lake.offer({"legs": first, "quarantine.legs": second})
    assert shown(lake) == {"main.legs": [1], "main.quarantine.legs": [1, 2]}
    lake.offer({"legs": second})
    assert shown(lake) == {"main.legs": [1, 2]}
    lake.offer({"legs": first})
    assert shown(lake) == {"main.legs": [1]}
    assert ids(lake, second) == [1, 2]


def test_two_machines_commit_at_once_and_lose_no_row(machine):
    base = commit(machine("one"), [0])

    def grow(name: str, first: int) -> list[int]:
        lake, snapshot = machine(name), base
        for n in range(first, first + 6):
            snapshot = commit(lake, [n], snapshot, run=name)
        return ids(lake, snapshot)

    with ThreadPoolExecutor(2) as threads:
        one, two = threads.submit(grow, "one", 1), threads.submit(grow, "two", 11)
    assert one.result() == [0, *range(1, 7)] and two.result() == [0, *range(11, 17)]


def test_two_machines_give_a_new_lake_one_identity(machine):
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda name: machine(name).identity, ("one", "two")))
    assert found[0] == found[1] == machine("three").identity
    assert [name for (name,) in machine("one")._catalog.list_namespaces()] == ["mainstem"]


def test_erase_and_sweep_at_a_store(machine):
    one, two = machine("one"), machine("two")
    first = commit(one, [1])
    second = commit(two, [2], base=first)
    kept = commit(two, [2], base=second, change=ReplaceAll())
    two.offer({"legs": kept})
    assert two.forget(two.holding("1", lambda physical: ["id"])) >= {(first.physical, first.id)}
    with pytest.raises(StorageError):
        ids(machine("three"), first)
    assert ids(machine("three"), kept) == [2]
    two.sweep([kept], unpinned={"run-1"}, older_than_hours=-1)
    assert ids(machine("four"), kept) == [2]
    assert ids(two, commit(two, [3], kept)) == [2, 3]


def test_a_catalog_that_lost_its_tables_is_pointed_to_the_newest_metadata(machine):
    lake = machine()
    snapshot = commit(lake, [1, 2])
    lake._catalog.drop_table(("mainstem", snapshot.physical))
    assert ids(lake, commit(machine("two"), [3], snapshot)) == [1, 2, 3]


def test_a_run_outlives_a_restart_of_the_server(mortal_rest, opened, tmp_path: Path):
    lake = opened(tmp_path / "lake", mortal_rest.catalog())
    snapshot = commit(lake, [0])
    killed = threading.Event()

    def restart() -> None:
        mortal_rest.kill()
        killed.set()
        time.sleep(1.5)
        mortal_rest.start()

    thread = threading.Thread(target=restart)
    thread.start()
    assert killed.wait(60)
    for n in range(1, 4):
        snapshot = commit(lake, [n], snapshot)
    lake.offer({"legs": snapshot})
    thread.join()
    assert ids(lake, snapshot) == [0, 1, 2, 3]
    assert shown(lake) == {"main.legs": [0, 1, 2, 3]}


def test_a_server_that_stays_away_is_an_error_that_may_pass(mortal_rest, opened, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("mainstem.lake.failures._ATTEMPTS", 2)
    lake = opened(tmp_path / "lake", mortal_rest.catalog())
    snapshot = commit(lake, [0])
    mortal_rest.kill()
    with pytest.raises(StorageError, match="the lake's catalog is away") as caught:
        commit(lake, [1], snapshot)
    assert caught.value.transient and "server of `catalog` runs" in (caught.value.hint or "")
    mortal_rest.start()
    assert ids(lake, commit(lake, [1], snapshot)) == [0, 1]


def test_a_server_that_is_busy_for_a_while_is_asked_again(guarded, opened, tmp_path: Path):
    lake = opened(tmp_path / "lake", guarded.url, rest={"token": guarded.token})
    snapshot = commit(lake, [1])
    guarded.refused = 3
    assert ids(lake, commit(lake, [2], snapshot)) == [1, 2]
    assert guarded.refused == 0


def test_a_credential_is_exchanged_for_a_token_and_again_when_that_expires(guarded, opened, tmp_path: Path):
    lake = opened(tmp_path / "lake", guarded.url, rest={"credential": f"{guarded.client}:{guarded.secret}"})
    snapshot = commit(lake, [1])
    granted = guarded.granted
    guarded.token = "another"
    assert ids(lake, commit(lake, [2], snapshot)) == [1, 2]
    assert guarded.granted > granted


def test_a_server_of_tokens_that_is_busy_for_a_while_is_asked_again(guarded, opened, tmp_path: Path):
    guarded.refused = 3
    lake = opened(tmp_path / "lake", guarded.url, rest={"credential": f"{guarded.client}:{guarded.secret}"})
    assert ids(lake, commit(lake, [1])) == [1]
    assert guarded.refused == 0


@pytest.mark.parametrize("rest", [{}, {"token": "wr0ng-token"}, {"credential": "mainstem:wr0ng-secret"}], ids=repr)
def test_a_token_that_is_refused_is_an_error_that_says_where_to_set_it(guarded, opened, tmp_path: Path, rest):
    lake = opened(tmp_path / "lake", guarded.url, rest=rest)
    with pytest.raises(StorageError, match="requires a valid token") as caught:
        commit(lake, [1])
    text = str(caught.value)
    assert "[profile.NAME.rest]" in text and "${env:" in text and not caught.value.transient
    assert "wr0ng" not in text


def test_a_server_with_tls_is_trusted_by_the_certificate_in_ca(new_catalog, opened, tmp_path: Path):
    pytest.importorskip("cryptography")
    certify(tmp_path)
    gateway = Guarded(new_catalog(), tmp_path / "server.pem")
    rest = {"credential": f"{gateway.client}:{gateway.secret}"}
    lake = opened(tmp_path / "lake", gateway.url, rest=rest)
    with pytest.raises(SettingsError, match="is not trusted") as caught:
        commit(lake, [1])
    assert "`ca`" in (caught.value.hint or "")
    lake = opened(tmp_path / "lake", gateway.url, rest={**rest, "ca": str(tmp_path / "authority.pem")})
    assert ids(lake, commit(lake, [1])) == [1]
    gateway.close()


def test_a_server_that_leads_elsewhere_does_not_get_the_token(guarded, opened, tmp_path: Path):
    other = Guarded(guarded.url)
    guarded.overrides = {"uri": other.url}
    lake = opened(tmp_path / "lake", guarded.url, rest={"token": guarded.token})
    with pytest.raises(SettingsError, match="leads to another server"):
        commit(lake, [1])
    assert other.asked == 0
    other.close()


@pytest.mark.parametrize("known_by", ["token", "credential"])
def test_a_server_that_sends_requests_on_does_not_take_the_secret_there(guarded, opened, tmp_path: Path, known_by):
    other = Guarded(guarded.url)
    guarded.moved = other.url
    secrets = {"token": guarded.token, "credential": f"{guarded.client}:{guarded.secret}"}
    lake = opened(tmp_path / "lake", guarded.url, rest={known_by: secrets[known_by]})
    with pytest.raises(SettingsError, match="leads to another server"):
        commit(lake, [1])
    assert other.asked == 0
    other.close()


def test_a_server_does_not_choose_where_files_are_read(guarded, opened, tmp_path: Path):
    guarded.overrides = {"py-io-impl": "os.path.join", "token": "another", "oauth2-server-uri": "http://127.0.0.1:1"}
    lake = opened(tmp_path / "lake", guarded.url, rest={"token": guarded.token})
    assert ids(lake, commit(lake, [1])) == [1]


def test_a_server_of_another_kind_is_not_a_catalog(store, opened, tmp_path: Path):
    lake = opened(tmp_path / "lake", store.storage["endpoint"])
    with pytest.raises((SettingsError, StorageError), match="catalog"):
        commit(lake, [1])
