"""A project whose lake is on a real S3 server, with an Iceberg REST catalog behind a token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.errors import SettingsError
from mainstem.masking import masked
from mainstem.settings import load
from postgresql import postgresql as postgresql_of_tests
from rest_catalog import Guarded
from s3 import s3_server
from stored_project import SECRET, Machine, databases, machine

postgresql = postgresql_of_tests


@pytest.fixture(scope="module")
def store():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


@pytest.fixture
def guarded(new_catalog, store) -> Iterator[Guarded]:
    found = Guarded(new_catalog(store.storage))
    yield found
    found.close()


@pytest.fixture
def on_rest(guarded: Guarded, store, postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose profile takes the token of the catalog from the environment."""
    monkeypatch.setenv("LAKE_TOKEN", guarded.token)
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    one = machine(tmp_path / "one", store.storage, (guarded.url, databases(postgresql)[1]), tmp_path.name)
    settings = one.root / "mainstem.toml"
    settings.write_text(settings.read_text() + '\n[profile.default.rest]\ntoken = "${env:LAKE_TOKEN}"\n')
    return one


def ids(machine: Machine) -> list[int]:
    with ms.load(machine.root) as project:
        return sorted(project.table("by_shop").to_pyarrow()["sale_id"].to_pylist())


def test_a_project_runs_compacts_erases_and_rolls_back_on_a_rest_catalog(on_rest: Machine, guarded: Guarded):
    on_rest.add("first", range(10))
    on_rest.run()
    on_rest.add("second", range(10, 20))
    said = on_rest.run()
    assert guarded.token not in said
    assert ids(on_rest) == list(range(20))
    code, said = on_rest.call("rollback")
    assert code == 0, said
    assert ids(on_rest) == list(range(10))
    on_rest.run("--forward")
    assert ids(on_rest) == list(range(20))
    for arguments in (("compact",), ("erase", "sale_id=7", "--yes"), ("gc",)):
        code, said = on_rest.call(*arguments)
        assert code == 0, said
    assert ids(on_rest) == [n for n in range(20) if n != 7]


def test_a_run_with_a_token_that_is_refused_says_where_to_set_it(on_rest: Machine):
    on_rest.add("first", range(3))
    code, said = on_rest.call("run", LAKE_TOKEN="wr0ng-token")
    assert code == 1
    words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", said).split())
    assert "requires a valid token" in words and "[profile.NAME.rest]" in words and "wr0ng-token" not in words


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('rest = {token = "x"}', "`rest` is for a REST catalog"),
        ('catalog = "postgresql://db/lake"\nrest = {token = "x"}', "`rest` is for a REST catalog"),
        ('catalog = "https://127.0.0.1:1"\nrest = {tokn = "x"}', "unknown setting 'tokn'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, lines: str, said: str):
    (tmp_path / "mainstem.toml").write_text(f'[project]\nname = "p"\nmodules = ["m"]\n[profile.default]\n{lines}\n')
    (tmp_path / "m.py").write_text('import mainstem as ms\nrows = ms.files("rows.csv", key="id")\n')
    (tmp_path / "rows.csv").write_text("id\n1\n")
    with pytest.raises(SettingsError) as caught:
        ms.load(tmp_path).run()
    assert said in str(caught.value)


def test_the_token_and_the_secret_are_masked(tmp_path: Path):
    (tmp_path / "mainstem.toml").write_text(
        '[project]\nname = "p"\nmodules = ["m"]\n[profile.default]\ncatalog = "https://catalog.example.com"\n'
        '[profile.default.rest]\ntoken = "plainly-written-token"\ncredential = "client:plainly-written-secret"\n'
    )
    load(tmp_path)
    assert masked("plainly-written-token, plainly-written-secret of client") == "***, *** of client"
