from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.errors import NotFound, RequestError, SettingsError
from mainstem.serving import keys
from mainstem.serving.http.guard import is_loopback
from mainstem.serving.server import check_binding, listen
from mainstem.state.sql import SqlState


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqlState]:
    found = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    yield found
    found.close()


def test_a_key_is_verified_and_its_secret_is_nowhere(state: SqlState, tmp_path: Path) -> None:
    token = keys.create(state, "display", ["predict", "read"])
    found = keys.verify(keys.valid(state), token)
    assert found is not None and (found.name, found.scopes) == ("display", ("predict", "read"))
    secret = token.split("_", 2)[2]
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_no_other_text_is_the_key(state: SqlState) -> None:
    token = keys.create(state, "display", ["predict"])
    other = keys.create(state, "other", ["predict"])
    valid = keys.valid(state)
    mixed = f"{token.rsplit('_', 1)[0]}x"
    swapped = "_".join([*token.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in ("", "ms", "ms__", token[:-1], token + "x", mixed, swapped, token.replace("ms_", "xx_")):
        assert keys.verify(valid, wrong) is None


def test_admin_may_do_all() -> None:
    admin = keys.ApiKey("1", "a", ("admin",), "00", "")
    reader = keys.ApiKey("2", "r", ("read",), "00", "")
    assert [keys.allows(admin, scope) for scope in keys.SCOPES] == [True] * 4
    assert [keys.allows(reader, scope) for scope in keys.SCOPES] == [False, False, True, False]


def test_a_revoked_key_is_gone(state: SqlState) -> None:
    token = keys.create(state, "display", ["predict"])
    keys.revoke(state, "display")
    assert keys.verify(keys.valid(state), token) is None
    assert keys.shown(state) == []
    with pytest.raises(NotFound):
        keys.revoke(state, "display")
    assert keys.create(state, "display", ["predict"]) != token


def test_bad_scopes_and_taken_names_are_refused(state: SqlState) -> None:
    with pytest.raises(RequestError, match="unknown or missing scopes"):
        keys.create(state, "display", ["everything"])
    with pytest.raises(RequestError, match="unknown or missing scopes"):
        keys.create(state, "display", [])
    keys.create(state, "display", ["read"])
    with pytest.raises(RequestError, match="already"):
        keys.create(state, "display", ["read"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]", "x.localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", "127.0.0.1.example"]
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_binding_elsewhere_needs_a_key(state: SqlState) -> None:
    check_binding("127.0.0.1", state)
    with pytest.raises(SettingsError) as caught:
        check_binding("0.0.0.0", state)
    assert caught.value.hint == "mainstem key create NAME --scope predict"
    keys.create(state, "display", ["predict"])
    check_binding("0.0.0.0", state)


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with listen("127.0.0.1", 0) as at, pytest.raises(SettingsError, match="cannot listen") as caught:
        listen("127.0.0.1", at.getsockname()[1])
    assert "--port" in str(caught.value.hint)
