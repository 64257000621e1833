"""The composition root. Only this module and `factories` name concrete adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from mainstem import private
from mainstem.errors import StorageError
from mainstem.nodes.definition import Graph
from mainstem.nodes.durations import microseconds
from mainstem.nodes.findings import Rule
from mainstem.nodes.records import LakeRecord
from mainstem.nodes.spans import Span
from mainstem.planning.execution import Executor
from mainstem.planning.plan import StepKind
from mainstem.ports import Artifacts, BranchStore, Engine, Store
from mainstem.project import factories
from mainstem.project.kinds import KINDS
from mainstem.settings import Settings

if TYPE_CHECKING:
    from mainstem.lake.iceberg import IcebergLake
    from mainstem.lake.identity import Identity
    from mainstem.state.sql import SqlState
    from mainstem.stores.lmdb import LmdbStore
    from mainstem.streaming.taking import Taking

Regraph = Callable[[Sequence[Rule]], Graph]
"""Resolves the project again, with these remedies in addition to its own."""


class Adapters:
    """A profile's engine, lake, state and online store. Each is created on first use."""

    def __init__(self, settings: Settings, branch: str) -> None:
        self.settings = settings
        self.branch = branch
        self._imports: Thread | None = None

    @cached_property
    def engine(self) -> Engine:
        return factories.engine(self.settings)

    @property
    def lake_root(self) -> Path:
        """The directory below which the lake's files are read and written: the lake, or its mirror."""
        return self.settings.lake

    @property
    def artifacts(self) -> Artifacts:
        return self.lake.artifacts if "://" in self.settings.profile.lake else self.lake_root

    def prepare(self) -> None:
        """Begin to import what the lake needs. Python is idle while the engine looks at the sources of a first run."""
        import pyarrow  # noqa: F401 - first and here: the engine's thread imports it too

        self._imports = Thread(target=_imported, name="mainstem-imports")
        self._imports.start()

    @cached_property
    def lake(self) -> IcebergLake:
        if self._imports is not None:
            self._imports.join()
        from mainstem.lake.iceberg import IcebergLake

        place, rest = factories.lake(self.settings), factories.rest(self.settings)
        return IcebergLake(place, self.settings.profile.catalog or None, self._admit, rest)

    def _admit(self, found: Identity) -> None:
        """Refuse a lake that the state's releases do not belong to. A state that was copied with its lake follows it.

        Raises `StorageError`.
        """
        url = self.state.where
        known = self.state.get(LakeRecord, "lake")
        follows = known is not None and known.lake == found.copy_of and known.state != url
        if known is not None and known.lake != found.id and not follows:
            raise StorageError(
                "the state belongs to another lake",
                where=f"{url}, {found.place}",
                got=f"lake {found.id}" + (f", a copy of lake {found.copy_of}" if found.copy_of else ""),
                expected=f"lake {known.lake}",
                hint="give this lake a state of its own in the profile, or restore the lake that the state knows",
            )
        if known is None or (known.lake, known.state) != (found.id, url):
            self.state.save(LakeRecord(found.id, url))

    @cached_property
    def state(self) -> SqlState:
        from mainstem.state.sql import SqlState

        if self.settings.root in self.settings.cache.parents and self.settings.cache.exists():
            private.directory(self.settings.cache)  # it has the state; another run may have made it for the lake
        return SqlState(self.settings.state_url)

    @property
    def store(self) -> Store:
        if self._remote is None and "_lmdb" in vars(self) and not self.has_store:
            self._lmdb.renew()  # its directory was deleted
        return self._lmdb if self._remote is None else self._remote

    @property
    def has_store(self) -> bool:
        """Return whether the branch has online state or logs."""
        if self._remote is not None:
            return self._remote.begun
        return self.online_path(self.branch).exists()

    def fork(self, origin: str) -> None:
        """Copy another branch's online state and logs to this branch. Both continue at the same offsets."""
        if self._remote is not None:
            self._remote.fork(origin)
        else:
            from mainstem.stores.lmdb import LmdbStore

            LmdbStore.fork(self.online_path(origin), self.online_path(self.branch))

    def drop_online(self) -> None:
        """Delete the branch's online state and logs."""
        if self._remote is not None:
            self._remote.drop()
        elif (path := self.online_path(self.branch)).exists():
            gone = path.with_name(f"{path.name}.part")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)  # at once, so that no half of it is ever read
            shutil.rmtree(gone)

    def copy_online(self, branch: str, to: Path) -> None:
        """Copy a branch's online state and logs, as they are at one instant, below the directory `to`."""
        from mainstem.stores.lmdb import LmdbStore

        path = self.online_path(branch)
        to.mkdir(parents=True, exist_ok=True)
        LmdbStore.fork(path, to / path.name)

    def lake_at(self, root: Path) -> IcebergLake:
        """Return the lake at `root`, a copy that is only read."""
        from mainstem.lake.iceberg import IcebergLake

        return IcebergLake(root)

    def online_path(self, branch: str) -> Path:
        """Return the directory of a branch's online state and logs, if the profile sets one."""
        return self.settings.path(self.settings.profile.online) / branch.replace("/", "__")

    @cached_property
    def _lmdb(self) -> LmdbStore:
        from mainstem.stores.lmdb import LmdbStore

        return LmdbStore(self.online_path(self.branch))

    @cached_property
    def _remote(self) -> BranchStore | None:
        return factories.store(self.settings, self.branch)

    def executors(
        self,
        regraph: Regraph,
        *,
        rebuild: bool = False,
        refresh: bool = False,
        between: Span | None = None,
        reingest: frozenset[str] = frozenset(),
    ) -> Mapping[StepKind, Executor]:
        """Return an executor for every kind of step. Each is created at the first such step, because most runs need
        few.

        With `rebuild`, views are built from the lake, whatever their online state. With `refresh`, tables are built
        from all rows of their inputs and sources are read from the beginning, and with `between` intervals of
        incremental tables and spans of sources are. `reingest` are sources whose rows that were set aside come in
        again.
        """
        root = self.settings.root
        of_nodes = {word: executor for kind in KINDS for word, executor in kind.executors.items()}
        return of_nodes | {
            "collect": _late("mainstem.sources.collect:Collect", lambda: (root, reingest, refresh, between)),
            "drain": _late("mainstem.streaming.drain:Drain", lambda: (self.store, self._taking(), reingest)),
            "build": _late("mainstem.tables.build:Build", lambda: (refresh, between)),
            "materialise": _late("mainstem.features.materialise.step:Materialise", lambda: (self.store, rebuild)),
            "train": _late(
                "mainstem.models.training.train:Train",
                lambda: (self.lake_root, root / SEARCHES, self.settings.profile.training_rows),
            ),
            "score": _late("mainstem.models.scoring:Scoring", lambda: (self.artifacts,)),
            "promote": _late("mainstem.models.versions.registry:Promote", lambda: (self.artifacts,)),
            "monitor": _late("mainstem.monitoring.monitor:Monitor", lambda: (self.artifacts,)),
            "attribute": _late("mainstem.feedback.attribute:Attribute", lambda: (root, self.artifacts, regraph)),
            "deliver": _late("mainstem.sources.sinks.deliver:Deliver", lambda: (root, self.settings.project.name)),
        }

    def _taking(self) -> Taking:
        from mainstem.streaming.taking import Taking

        return Taking(self.settings.root, microseconds(self.settings.serve.ahead, "mainstem.toml, [serve] ahead"))

    def close(self) -> None:
        """Close everything that was opened."""
        for name in ("_lmdb", "_remote", "lake", "state"):
            adapter = vars(self).pop(name, None)
            if adapter is not None and hasattr(adapter, "close"):
                adapter.close()


SEARCHES = Path(".mainstem/search")
"""Where searches keep what they have tried, so that one that was killed goes on."""


def _imported() -> None:
    with suppress(Exception):  # the lake imports it again, and says what is wrong
        import_module("mainstem.lake.catalogs.sql")


def _late(home: str, arguments: Callable[[], tuple[Any, ...]]) -> Executor:
    """Return an executor `module:Class` that is imported and created at its first step."""

    @cache
    def made() -> Executor:
        module, _, name = home.partition(":")
        executor: Executor = getattr(import_module(module), name)(*arguments())
        return executor

    return lambda step, context: made()(step, context)
