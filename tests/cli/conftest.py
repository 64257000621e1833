"""A small real project, its API and a server, as fixtures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Project, Served, World, live_once, one_world, publish, restored, serving

__all__ = ["live_once", "one_world"]


@pytest.fixture
def world(one_world: World) -> Iterator[World]:
    one_world.release.clear()
    yield one_world
    one_world.hours, one_world.held = 24, set()
    one_world.release.set()


@pytest.fixture(scope="session")
def published_once(one_world: World, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after its first run: 120 flights."""
    return publish(tmp_path_factory.mktemp("cli") / "project", one_world, '["flights"]')


@pytest.fixture
def project(published_once: Project, world: World) -> Iterator[Project]:
    with restored(published_once) as made:
        yield made


@pytest.fixture
def live(live_once: Project, world: World) -> Iterator[Project]:
    with restored(live_once) as made:
        yield made


@pytest.fixture
def project_at(world: World) -> Callable[[Path], Project]:
    """A project of the test's own, at a directory that it makes."""
    return lambda root: Project(root, world)


@pytest.fixture
def serve() -> Any:
    """Starts a server for a project."""
    return serving


@pytest.fixture(scope="session")
def server(live_once: Project, one_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for every request that is refused, on a copy of the project: of tables it reads none."""
    root = tmp_path_factory.mktemp("served") / "project"
    shutil.copytree(live_once.root, root)
    with serving(Project(root, one_world)) as served:
        yield served
