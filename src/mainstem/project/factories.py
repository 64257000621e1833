"""Engines and online stores by name. Each is made by a function of the settings.

Packages add theirs by entry points: an engine in the group `mainstem.engines`, with the value of the setting `engine`
as its name; a store in `mainstem.stores`, with the URL scheme of the setting `online` as its name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from mainstem import plugins
from mainstem.errors import SettingsError, close_matches
from mainstem.nodes.storage import SETTINGS, scheme_of
from mainstem.ports import BranchStore, Engine
from mainstem.settings import Settings

if TYPE_CHECKING:
    from mainstem.engines.duckdb import DuckdbEngine
    from mainstem.engines.spark.files import Files
    from mainstem.lake.places.base import Place
    from mainstem.lake.places.remote import Remote

EngineFactory = Callable[[Settings], Engine]
StoreFactory = Callable[[Settings, str], BranchStore]
"""Opens the store of a branch."""

AUTO_BYTES = 20 * 2**30
"""With `engine = "auto"`, stored tables of at least so many bytes are read by Spark."""

REST = ("warehouse", "token", "credential", "scope", "audience", "resource", "oauth2_server_uri", "ca")
"""The settings of a REST catalog: PyIceberg's, and `ca`, a file of the certificates to trust."""

ENGINES: dict[str, EngineFactory] = {}
STORES: dict[str, StoreFactory] = {}


def register_engine(name: str, factory: EngineFactory) -> None:
    """Register an engine for the setting `engine`."""
    ENGINES[name] = factory


def register_store(scheme: str, factory: StoreFactory) -> None:
    """Register a store for settings `online` whose URL has this scheme."""
    STORES[scheme] = factory


def engine(settings: Settings) -> Engine:
    """Create the engine of the profile. Raises `SettingsError` for an unknown engine, and `PluginError`."""
    name = settings.profile.engine
    factory = ENGINES.get(name) or plugins.load_factory("mainstem.engines", name)
    if factory is None:
        known = plugins.offered("mainstem.engines", ENGINES)
        raise SettingsError(
            f"unknown engine {name!r}",
            where=_where(settings, "engine"),
            expected=f"one of {', '.join(known)}",
            hint=close_matches(name, known),
        )
    return factory(settings)


def store(settings: Settings, branch: str) -> BranchStore | None:
    """Open the branch's store. Return None if the profile sets a directory.

    Raises `SettingsError` for an unknown scheme, and `PluginError`.
    """
    scheme, found, _ = settings.profile.online.partition("://")
    if not found:
        return None
    factory = STORES.get(scheme) or plugins.load_factory("mainstem.stores", scheme)
    if factory is None:
        known = plugins.offered("mainstem.stores", STORES)
        raise SettingsError(
            f"unknown online store {scheme!r}",
            where=_where(settings, "online"),
            expected=f"a directory, or a URL that begins with {', '.join(f'{name}://' for name in known)}",
            hint=close_matches(scheme, known),
        )
    return factory(settings, branch)


def lake(settings: Settings) -> Place | Path:
    """Return the place of the profile's lake. Raises `SettingsError` if the profile does not say what it requires."""
    profile, where = settings.profile, _where(settings, "lake")
    scheme = scheme_of(profile.lake)
    if not scheme:
        if profile.storage:
            raise SettingsError("`storage` is for a lake at a URL", where=where, got=profile.lake)
        return settings.lake
    if scheme not in SETTINGS or not profile.lake.partition("://")[2].strip("/"):
        kinds = ", ".join(f"{name}://" for name in SETTINGS)
        expected = f"a directory, or a bucket and a path at {kinds}"
        raise SettingsError("the lake is at no known kind of store", where=where, got=profile.lake, expected=expected)
    _known(settings, "storage", profile.storage, SETTINGS[scheme])
    if not profile.catalog:
        raise SettingsError(
            "a lake at an object store requires `catalog`",
            where=where,
            got=profile.lake,
            expected='the URL of a server, such as catalog = "postgresql://host/lake", or of a REST catalog',
            hint="a SQLite catalog would be on one machine only",
        )
    return _at_store(profile.lake, tuple(sorted(profile.storage.items())), settings.lake)


def rest(settings: Settings) -> Mapping[str, str]:
    """Return the settings of the profile's REST catalog. Raises `SettingsError` for unknown or unused ones."""
    found = settings.profile.rest
    if found and not (settings.profile.catalog or "").startswith(("http://", "https://")):
        raise SettingsError(
            "`rest` is for a REST catalog",
            where=_where(settings, "catalog"),
            got=settings.profile.catalog or "none",
            expected='such as catalog = "https://catalog.example.com/iceberg"',
        )
    _known(settings, "rest", found, REST)
    return found


def _known(settings: Settings, section: str, given: Iterable[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise SettingsError(
                f"unknown setting {name!r}",
                where=f"mainstem.toml, [profile.{settings.profile_name}.{section}]",
                expected=", ".join(known),
                hint=close_matches(name, known),
            )


@lru_cache(maxsize=16)
def _at_store(url: str, storage: tuple[tuple[str, str], ...], mirror: Path) -> Remote:
    """Return the one place of a lake at a store: what the engine has uploaded, the lake need not upload again."""
    from mainstem.lake.places.remote import Remote

    return Remote(url, dict(storage), mirror)


def _where(settings: Settings, name: str) -> str:
    return f"mainstem.toml, [profile.{settings.profile_name}] {name}, or MAINSTEM_{name.upper()}"


# ── built in ──────────────────────────────────────────────────────────────────────────────────────────


def _duckdb(settings: Settings) -> DuckdbEngine:
    from mainstem.engines.duckdb import DuckdbEngine

    profile = settings.profile
    lake = settings.lake
    return DuckdbEngine(profile.memory, profile.threads, lake / "tmp", directories=[lake])


def _spark(settings: Settings, least: int = 1) -> Engine:
    from mainstem.engines.by_size import BySize
    from mainstem.engines.spark.engine import SparkEngine

    profile = settings.profile
    for name in profile.spark:
        if name != "master" and not name.startswith("spark."):
            raise SettingsError(
                f"unknown setting {name!r}",
                where=f"mainstem.toml, [profile.{settings.profile_name}.spark]",
                expected="master, or a setting of Spark such as spark.executor.memory",
                hint=close_matches(name, ["master"]),
            )
    own = {name: value for name, value in profile.spark.items() if name != "master"}
    master = profile.spark.get("master", "local[*]")
    spark = SparkEngine(master, own, profile.memory, settings.lake / "tmp", _files(settings, master))
    return BySize(_duckdb(settings), spark, least)


def _files(settings: Settings, master: str) -> Files | None:
    """Return the files that Spark's workers share with this process, if they are not on a disk. Raises
    `SettingsError`."""
    place = lake(settings)
    if isinstance(place, Path):
        return None
    if scheme_of(place.where) == "s3":
        from mainstem.engines.spark.at_store import AtStore

        return AtStore(place, settings.profile.storage)
    if master.startswith("local"):
        return None
    raise SettingsError(
        "Spark's workers cannot reach this lake",
        where=_where(settings, "lake"),
        got=f"{place.where}, master {master}",
        expected="a lake at s3://, or master local[…], which reads and writes the mirror of this machine",
    )


def _auto(settings: Settings) -> Engine:
    return _spark(settings, AUTO_BYTES)


def _redis(settings: Settings, branch: str) -> BranchStore:
    from mainstem.stores.redis import RedisStore

    return RedisStore(settings.profile.online, settings.project.name, branch)


register_engine("duckdb", _duckdb)
register_engine("spark", _spark)
register_engine("auto", _auto)
register_store("redis", _redis)
register_store("rediss", _redis)
