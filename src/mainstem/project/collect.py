"""Load a project's declarations: from the modules of mainstem.toml, and from `sql/**/*.sql`."""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any

from mainstem.errors import DefinitionError, MainstemError, close_matches
from mainstem.nodes.base import Node
from mainstem.nodes.places import place

JUST_NOW = 2.0
"""Seconds in which a text may change again without another time or size."""


def from_project(root: Path, modules: Iterable[str], params: Mapping[str, Any] | None = None) -> dict[str, Node]:
    """Return every node of the project at `root` by name. `params` are the parameters of SQL. Raises
    `DefinitionError`."""
    wanted = tuple(modules)
    _forget(root, wanted)
    named = from_namespaces([(module, vars(_import(root, module))) for module in wanted])
    for file in sorted((root / "sql").rglob("*.sql")):
        if not any(part.startswith(".") for part in file.relative_to(root).parts):
            from mainstem.tables.sql_files import parse_file

            _add(named, {file.stem: parse_file(file, params)})
    return named


def from_namespaces(namespaces: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Node]:
    """Return the nodes of modules, given the name and the names of each. Raises `DefinitionError`.

    A node's own `name=` has precedence over its attribute. A node in a list, tuple, set or mapping must have one or the
    other.
    """
    named: dict[str, Node] = {}
    held: list[tuple[str, Node]] = []
    for module, namespace in namespaces:
        for attribute, value in namespace.items():
            if attribute.startswith("_"):
                continue
            if isinstance(value, Node):
                _add(named, {value.name or attribute: value})
            else:
                held += ((f"{module}.{attribute}", node) for node in _held(value))
    attributes = set(named.values())
    for holder, node in held:
        if node.name is not None:
            _add(named, {node.name: node})
        elif node not in attributes:
            raise DefinitionError(
                f"a {type(node).__name__.lower()} in {holder} has no name",
                where=str(node.origin),
                hint="give it name=…, or assign it to an attribute of the module",
            )
    return named


def _held(value: Any, depth: int = 0) -> Iterator[Node]:
    """Yield the nodes in a collection, also in collections that it contains."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset, dict)) and depth < _DEEPEST:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _held(item, depth + 1)


_DEEPEST = 8  # a list may contain itself


def _add(named: dict[str, Node], more: Mapping[str, Node]) -> None:
    for name, node in more.items():
        other = named.setdefault(name, node)
        if other is not node:
            raise DefinitionError(
                f"two nodes have the name {name!r}",
                where=f"{other.origin} and {node.origin}",
                hint="rename one, or give it name=…",
            )


def _forget(root: Path, modules: Sequence[str]) -> None:
    """Remove a project's modules from the import cache, so that they are imported again.

    Another project may have modules of the same names. A running script of the project stays imported.
    """
    running = sys.modules.get("__main__")
    for name in [
        n for n, m in list(sys.modules.items()) if m is not running and (n in modules or _lives_below(m, root))
    ]:
        del sys.modules[name]


def _import(root: Path, module: str) -> ModuleType:
    sys.path.insert(0, str(root))
    try:
        importlib.invalidate_caches()
        with _as_written(root):
            return importlib.import_module(module)
    except MainstemError:
        raise
    except ModuleNotFoundError as problem:
        if problem.name != module:
            raise _broken(root, module, problem) from problem
        raise DefinitionError(
            f"unknown module {module!r}",
            where=str(root / "mainstem.toml"),
            expected=f"{module}.py next to mainstem.toml",
            hint=close_matches(module, (file.stem for file in root.glob("*.py"))) or "correct modules = […]",
        ) from None
    except (Exception, SystemExit) as problem:
        raise _broken(root, module, problem) from problem
    finally:
        sys.path.remove(str(root))


@contextmanager
def _as_written(root: Path) -> Iterator[None]:
    """Import modules of a project from their text if that was changed in the last seconds.

    Python takes a compiled module for current if the text has the same size and was changed in the same second.
    """
    young = [file for file in root.glob("*.py") if time.time() - file.stat().st_mtime < JUST_NOW]
    for file in young:
        with suppress(OSError):
            Path(cache_from_source(str(file))).unlink(missing_ok=True)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = before or bool(young)
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _lives_below(module: ModuleType, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(str(file)).parent == root


def _broken(root: Path, module: str, problem: BaseException) -> DefinitionError:
    said = problem.msg if isinstance(problem, SyntaxError) else problem
    return DefinitionError(
        f"the module {module!r} cannot be imported",
        where=_place(root, problem) or module,
        got=f"{type(problem).__name__}: {said}",
        expected="a module that Python imports without an error",
        hint=_advice(problem, module),
    )


def _place(root: Path, problem: BaseException) -> str | None:
    """Return the line that Python cannot parse, or the project's last line in the traceback."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{place(problem.filename)}:{problem.lineno}  {(problem.text or '').strip()}"
    frames = traceback.extract_tb(problem.__traceback__)
    lines = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    return f"{place(lines[-1].filename)}:{lines[-1].lineno}  {lines[-1].line}" if lines else None


def _advice(problem: BaseException, module: str) -> str:
    if isinstance(problem, ModuleNotFoundError):
        return f"check the name {problem.name!r}, and that it is installed in Mainstem's environment"
    last = traceback.extract_tb(problem.__traceback__)[-1]
    if isinstance(problem, KeyError) and last.filename in ("<frozen os>", os.__file__):
        return f"export {problem.args[0]}=…"
    return f"`python -c 'import {module}'` in the project's directory shows the whole traceback"
