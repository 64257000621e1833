"""Which engine and which store a profile means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import SettingsError
from mainstem.project import factories
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


def settings(root: Path, **profile: Any) -> Settings:
    return Settings(root, ProjectSettings("p", ()), Profile(**profile), "default", Serve())


@pytest.fixture
def own() -> Iterator[None]:
    factories.register_engine("own", lambda settings: DuckdbEngine(threads=1))
    factories.register_store("own", lambda settings, branch: f"{settings.profile.online} {branch}")  # type: ignore
    yield
    del factories.ENGINES["own"], factories.STORES["own"]


def test_the_built_in_ones(tmp_path: Path) -> None:
    assert isinstance(factories.engine(settings(tmp_path)), DuckdbEngine)
    assert factories.store(settings(tmp_path, online="a/directory"), "main") is None


def test_registered_ones_are_used(tmp_path: Path, own: None) -> None:
    assert isinstance(factories.engine(settings(tmp_path, engine="own")), DuckdbEngine)
    assert factories.store(settings(tmp_path, online="own://x"), "dev") == "own://x dev"  # type: ignore[comparison-overlap]


def test_an_unknown_engine_is_refused_with_those_there_are(tmp_path: Path, own: None) -> None:
    with pytest.raises(SettingsError, match="unknown engine 'dukdb'") as caught:
        factories.engine(settings(tmp_path, engine="dukdb"))
    assert caught.value.expected == "one of auto, duckdb, own, spark"
    assert caught.value.hint == "did you mean 'duckdb'?"
    assert caught.value.where == "mainstem.toml, [profile.default] engine, or MAINSTEM_ENGINE"


def test_an_unknown_store_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown online store 'reddis'") as caught:
        factories.store(settings(tmp_path, online="reddis://user:secret@h"), "main")
    assert caught.value.expected == "a directory, or a URL that begins with redis://, rediss://"
    assert "secret" not in str(caught.value)
