from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def load_world() -> Any:
    """The module `world.py` beside this file; tests are no package."""
    if "mainstem_test_world" not in sys.modules:
        path = Path(__file__).parent / "world.py"
        spec = importlib.util.spec_from_file_location("mainstem_test_world", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["mainstem_test_world"] = module
        spec.loader.exec_module(module)
    return sys.modules["mainstem_test_world"]


@pytest.fixture
def worlds() -> Any:
    """The module that makes worlds, rows for them, and artifacts."""
    return load_world()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a world that has begun."""
    root = tmp_path_factory.mktemp("world")
    load_world().begun(root).close()
    return root


@pytest.fixture
def world(worlds: Any, template: Path, tmp_path: Path) -> Iterator[Any]:
    """Published: three flights of the future, one departure of the past, views online, no champion."""
    shutil.copytree(template, tmp_path / "world")
    found = worlds.open_world(tmp_path / "world")
    yield found
    found.close()


@pytest.fixture
def served(worlds: Any, world: Any) -> Iterator[tuple[Any, Any]]:
    """The world with a champion, and a service that has started."""
    world.promote(worlds.artifact(world.root, 1))
    service = world.service()
    service.start()
    yield world, service
    service.close()


@pytest.fixture
def http(worlds: Any, served: tuple[Any, Any]) -> Iterator[Any]:
    """A client of a uvicorn server over the service, on a free port of loopback."""
    _, service = served
    with worlds.listening(service) as client:
        yield client
