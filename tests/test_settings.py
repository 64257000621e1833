"""mainstem.toml, its profiles, and what the environment overrides."""

from pathlib import Path

import pytest

from mainstem.errors import SettingsError, UnknownName
from mainstem.settings import expand, load

TOML = """
[project]
name = "flights"
modules = ["flights"]

[profile.default]
threads = 2

[profile.prod]
lake = "${env:LAKE_ROOT}/lake"
state = "postgresql://db/mainstem"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text(TOML)
    return tmp_path


def test_defaults_and_profiles(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_ROOT", "/mnt")
    settings = load(root)
    assert settings.project.name == "flights" and settings.profile.threads == 2
    assert settings.path(settings.profile.lake) == root / ".mainstem/lake"
    assert settings.state_url == f"sqlite:///{root}/.mainstem/state.db"
    prod = load(root, "prod")
    assert prod.profile.lake == "/mnt/lake" and prod.state_url == "postgresql://db/mainstem"


def test_a_project_is_found_from_below(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_ROOT", "/mnt")
    (root / "sql").mkdir()
    assert load(root / "sql").root == root


def test_the_environment_overrides_the_profile(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_ROOT", "/mnt")
    monkeypatch.setenv("MAINSTEM_THREADS", "7")
    monkeypatch.setenv("MAINSTEM_PROFILE", "prod")
    settings = load(root)
    assert settings.profile_name == "prod" and settings.profile.threads == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not valid TOML"),
        ("[project]\nname = 'x'", "modules"),
        ("[projekt]\nname = 'x'", "did you mean 'project'?"),
        ("[project]\nname = 'x'\nmodules = []\n[profile.default]\nthreds = 4", "did you mean 'threads'?"),
        ("profile = 3", "profile"),
        ("[project]\nname = 'x'\nmodules = []\n[profile.default]\nlaek = 'x'", "laek"),
        ("[project]\nname = 'x'\nmodules = []\n[serve]\nport = 'high'", "port"),
        ("[project]\nname = '${env:NOT_SET_ANYWHERE}'\nmodules = []", "NOT_SET_ANYWHERE"),
    ],
)
def test_what_is_not_understood_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mainstem.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        load(tmp_path)
    assert said in str(error.value)


def test_no_project_here(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"mainstem\.toml not found"):
        load(tmp_path)


def test_an_unknown_profile_suggests(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="unknown profile 'prodd'") as error:
        load(root, "prodd")
    assert error.value.hint == "did you mean 'prod'?" and error.value.where is None  # it was on the command line
    monkeypatch.setenv("MAINSTEM_PROFILE", "prodd")
    with pytest.raises(UnknownName) as error:
        load(root)
    assert error.value.where == "the environment variable MAINSTEM_PROFILE"


def test_only_the_chosen_profile_needs_its_secrets(root: Path) -> None:
    assert load(root).profile.threads == 2
    with pytest.raises(SettingsError, match="LAKE_ROOT is not set") as error:
        load(root, "prod")
    assert error.value.where == str(root / "mainstem.toml") and error.value.hint == "export LAKE_ROOT=…"


def test_expand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    assert expand("Bearer ${env:TOKEN}") == "Bearer s3cret"
