"""What installed packages add, by entry points. They are looked up only for a name that is not built in.

[project.entry-points."mainstem.engines"]
spark = "mainstem_spark:engine"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from mainstem.errors import PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

T = TypeVar("T")


def load(group: str, name: str, checked: Callable[[Any], T]) -> T | None:
    """Return what an installed package offers under `name`, as `checked` returns it; None if no package does.

    `checked` raises `TypeError` for what cannot be used. Raises `PluginError` for that, for an entry point that cannot
    be imported, and for a name that two packages offer.
    """
    found = list(_entry_points(group).select(name=name))
    if not found:
        return None
    if len({point.value for point in found}) > 1:
        raise PluginError.ambiguous(group, name, (f"{_package(point)} ({point.value})" for point in found))
    try:
        return checked(found[0].load())
    except Exception as problem:
        raise PluginError.broken(group, name, _package(found[0]), found[0].value, problem) from problem


def offered(group: str, built_in: Iterable[str] = ()) -> list[str]:
    """Return every name there is in a group: what is built in, and what installed packages offer."""
    return sorted({*built_in, *(point.name for point in _entry_points(group))})


def factory(offered: Any) -> Callable[..., Any]:
    """Return an offered function or class. Raises `TypeError` for anything else."""
    if not callable(offered):
        raise TypeError(f"a function or a class is expected; got {offered!r}")
    return offered  # type: ignore[no-any-return]


def _entry_points(group: str) -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=group)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value.partition(":")[0]
