"""Engines and online stores by name. Each is made by a function of the settings.

Packages add theirs by entry points: an engine in the group `mainstem.engines`, with the value of the setting `engine`
as its name; a store in `mainstem.stores`, with the URL scheme of the setting `online` as its name.
"""

from __future__ import annotations

from collections.abc import Callable

from mainstem import plugins
from mainstem.errors import SettingsError, close_matches
from mainstem.ports import BranchStore, Engine
from mainstem.settings import Settings

EngineFactory = Callable[[Settings], Engine]
StoreFactory = Callable[[Settings, str], BranchStore]
"""Opens the store of a branch."""

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


def _where(settings: Settings, name: str) -> str:
    return f"mainstem.toml, [profile.{settings.profile_name}] {name}, or MAINSTEM_{name.upper()}"


# ── built in ──────────────────────────────────────────────────────────────────────────────────────────


def _duckdb(settings: Settings) -> Engine:
    from mainstem.engines.duckdb import DuckdbEngine

    profile = settings.profile
    lake = settings.lake
    return DuckdbEngine(profile.memory, profile.threads, lake / "tmp", directories=[lake])


def _redis(settings: Settings, branch: str) -> BranchStore:
    from mainstem.stores.redis import RedisStore

    return RedisStore(settings.profile.online, settings.project.name, branch)


register_engine("duckdb", _duckdb)
register_store("redis", _redis)
register_store("rediss", _redis)
