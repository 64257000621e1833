"""The runner of a project, with the settings of [run] in mainstem.toml."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.errors import DefinitionError, SettingsError
from mainstem.nodes.durations import microseconds
from mainstem.planning.execution import Executor
from mainstem.planning.plan import StepKind
from mainstem.planning.retries import Retries
from mainstem.planning.runner import Runner
from mainstem.settings import FILE, Settings


def runner(settings: Settings, executors: Mapping[StepKind, Executor], workers: int | None = None) -> Runner:
    """Return what executes plans, with up to `workers` steps at once if given. Raises `SettingsError`."""
    return Runner(executors, workers or settings.run.workers, retries_of(settings))


def retries_of(settings: Settings) -> Retries:
    """Return how often steps are tried again. Raises `SettingsError`."""
    run = settings.run
    for name, value, least in (("workers", run.workers, 1), ("retries", run.retries, 0)):
        if value is not None and value < least:
            where = f"{FILE}, [run] {name}"
            raise SettingsError(f"`{name}` is too small", where=where, got=str(value), expected=f"{least} or more")
    try:
        wait = microseconds(run.wait) / 1e6
    except DefinitionError as problem:
        where = f"{FILE}, [run] wait"
        raise SettingsError("the setting is no duration", where=where, got=run.wait, expected='"1s"') from problem
    return Retries(run.retries, wait)
