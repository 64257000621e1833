"""The contract of a kind of source, tested by a project that collects one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ibis
import pytest

from mainstem.errors import RunFailed, SourceError
from mainstem.nodes.sources import Source
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.sources.inspection import introspect, observe, place, settled
from mainstem.sources.kinds import kind_of

HEAVY = ("duckdb", "pyarrow", "ibis", "pandas", "numpy", "dlt", "parsel", "sqlalchemy")
HEAVY_CLIENTS = ("adbc_driver_manager", "confluent_kafka", "fastavro")


@dataclass(frozen=True)
class World:
    """A source whose data the suite controls: columns `id` and `name`, and at first the rows (1, "a") and (2, "b").

    `add` adds a row to the `source`. `absent` is a source of the same kind and columns at a place that does not exist.
    Both read below the directory `root`.
    """

    root: Path
    source: Source
    absent: Source
    add: Callable[[int, str], None]


@contextmanager
def project(root: Path, source: Source) -> Iterator[Project]:
    """Open a project at `root` with one source named `source`."""
    settings = Settings(root, ProjectSettings("contract", ()), Profile(threads=1), "default", Serve())
    with Project(settings, {"source": source}) as made:
        yield made


def rows(made: Project) -> list[tuple[int, str]]:
    found = made.table("source").to_pyarrow().to_pylist()
    return sorted((int(row["id"]), row["name"]) for row in found)


class SourceContract:
    """Define the fixture `world`: a `World`."""

    def test_introspection_finds_the_columns(self, world: World) -> None:
        with project(world.root, world.source) as made:
            found = introspect(world.source, world.root, made.adapters.engine)
            assert list(found) == ["id", "name"]
            assert [str(ibis.dtype(type)) for type in found.values()] == list(found.values())
            assert introspect(world.source, world.root, made.adapters.engine) == found

    def test_every_row_is_collected_once(self, world: World) -> None:
        with project(world.root, world.source) as made:
            assert made.run().steps[0].rows_in == 2
            assert rows(made) == [(1, "a"), (2, "b")]
            world.add(3, "c")
            made.run()
            assert rows(made) == [(1, "a"), (2, "b"), (3, "c")]

    def test_data_that_stays_makes_no_new_snapshot(self, world: World) -> None:
        with project(world.root, world.source) as made:
            made.run()
            first = made.release.tables["source"]
            made.run()
            again = made.release.tables["source"]
            assert (again.id, again.rows) == (first.id, first.rows)

    def test_a_plan_sees_new_data(self, world: World) -> None:
        with project(world.root, world.source) as made:
            made.run()
            world.add(3, "c")
            assert [step.key for step in made.plan().steps] == ["collect source"]

    def test_what_has_settled_is_observed_until_data_changes(self, world: World) -> None:
        with project(world.root, world.source) as made:
            before = settled(world.source, world.root)
            made.run()
            cursor = made.release.tables["source"].cursor
            seen = observe(world.source, world.root, cursor)
            assert seen == before
            world.add(3, "c")
            assert seen is None or observe(world.source, world.root, cursor) != seen

    def test_a_source_that_is_not_there_fails_the_run_only(self, world: World) -> None:
        observe(world.absent, world.root, None)
        settled(world.absent, world.root)
        with project(world.root, world.absent) as made, pytest.raises((SourceError, RunFailed)) as caught:
            made.run()
        causes = getattr(caught.value, "causes", (caught.value,))
        assert causes and all(isinstance(cause, SourceError) for cause in causes)

    def test_another_place_is_read_from_its_beginning(self, world: World) -> None:
        assert place(world.source) == place(world.source)
        assert place(world.source) != place(world.absent)
        identity = dict(kind_of(world.source).identity(world.source))
        json.dumps(identity)  # fails unless all values are plain, so that the digest is equal in every process

    def test_a_plan_imports_no_heavy_library_for_it(self, world: World) -> None:
        modules = {type(kind_of(world.source)).__module__, type(world.source).__module__}
        program = f"import sys, {', '.join(modules)}; print(*(m for m in {HEAVY + HEAVY_CLIENTS} if m in sys.modules))"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert done.stdout.split() == []
