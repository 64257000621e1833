"""Extensions that installed packages add through entry points. They are looked up only for a name that is not built in.

[project.entry-points."mainstem.engines"]
spark = "mainstem_spark:engine"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mainstem.errors import MainstemError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

T = TypeVar("T")


def load(group: str, name: str, checked: Callable[[Any], T]) -> T | None:
    """Return the extension that an installed package offers under `name`, as `checked` returns it; None if there is
    none.

    `checked` raises `TypeError` for an unusable object. Raises `PluginError` in that case, for an entry point that
    cannot be imported, and for a name that two packages offer.
    """
    point = _entry_point(group, name)
    if point is None:
        return None
    with _blaming(point):
        return checked(point.load())


def load_factory(group: str, name: str) -> Callable[..., Any] | None:
    """Return the function or class that an installed package offers under `name`; None if there is none.

    A call of it raises `PluginError` for any exception that is not a `MainstemError`.
    """
    factory, point = load(group, name, _called), _entry_point(group, name)
    if factory is None or point is None:
        return None

    def made(*arguments: Any) -> Any:
        with _blaming(point):
            return factory(*arguments)

    return made


def offered(group: str, built_in: Iterable[str] = ()) -> list[str]:
    """Return all names in a group: built-in ones and those of installed packages."""
    return sorted({*built_in, *(point.name for point in _entry_points(group))})


def having(*parts: str) -> Callable[[Any], Any]:
    """Return a check for `load`. It accepts an object, or creates one from a class, and requires the attributes
    `parts`.
    """

    def checked(offered: Any) -> Any:
        made = offered() if isinstance(offered, type) else offered
        missing = [part for part in parts if not hasattr(made, part)]
        if missing:
            raise TypeError(f"an object with {', '.join(parts)} is expected; {made!r} has no {missing[0]}")
        return made

    return checked


def _called(offered: Any) -> Callable[..., Any]:
    if not callable(offered):
        raise TypeError(f"a function or a class is expected; got {offered!r}")
    return offered  # type: ignore[no-any-return]


def _entry_points(group: str) -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=group)


def _entry_point(group: str, name: str) -> EntryPoint | None:
    found = list(_entry_points(group).select(name=name))
    if len({point.value for point in found}) > 1:
        raise PluginError.ambiguous(group, name, (f"{_package(point)} ({point.value})" for point in found))
    return found[0] if found else None


@contextmanager
def _blaming(point: EntryPoint) -> Iterator[None]:
    try:
        yield
    except MainstemError:
        raise
    except Exception as problem:
        raise PluginError.broken(point.group, point.name, _package(point), point.value, problem) from problem


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value.partition(":")[0]
