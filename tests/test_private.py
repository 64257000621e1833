"""State, keys, online features and logs are private to their owner, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem import private
from mainstem.serving.keys import create
from mainstem.state.sql import SqlState
from mainstem.stores.lmdb import LmdbStore


@pytest.fixture(autouse=True, params=[0o022, 0o000, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in sorted(root.rglob("*"))}


def test_the_state_and_the_keys_in_it(tmp_path: Path) -> None:
    state = SqlState(f"sqlite:///{tmp_path / 'a' / 'b' / 'state.db'}")
    create(state, "display", ["predict"])
    found = modes(tmp_path)
    assert {"a/b/state.db-wal", "a/b/state.db-shm"} <= found.keys()
    assert {name: mode for name, mode in found.items() if mode != (0o600 if "state" in name else 0o700)} == {}
    state.close()


def test_the_online_store_and_a_copy_of_it(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path / "online" / "main")
    LmdbStore.fork(tmp_path / "online" / "main", tmp_path / "online" / "dev")
    LmdbStore(tmp_path / "online" / "dev").close()
    store.close()
    assert modes(tmp_path) == {
        "online": 0o700,
        "online/main": 0o700,
        "online/main/data.mdb": 0o600,
        "online/main/lock.mdb": 0o600,
        "online/dev": 0o700,
        "online/dev/data.mdb": 0o600,
        "online/dev/lock.mdb": 0o600,
    }


def test_what_an_older_version_left_open_is_closed(tmp_path: Path) -> None:
    LmdbStore(tmp_path / "online").close()
    SqlState(f"sqlite:///{tmp_path / 'state.db'}").head("main")
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    LmdbStore(tmp_path / "online").close()
    SqlState(f"sqlite:///{tmp_path / 'state.db'}").head("main")
    found = modes(tmp_path)
    assert found["online"] == 0o700
    assert {found[name] for name in found if name != "online"} == {0o600}


def test_directories_of_others_keep_their_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private.directory(tmp_path / "a" / "b")
    SqlState(f"sqlite:///{tmp_path / 'state.db'}").head("main")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert modes(tmp_path)["a"] == modes(tmp_path)["a/b"] == 0o700
