"""Collects a project's declarations: the modules that mainstem.toml names, and `sql/*.sql`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mainstem.errors import DefinitionError, MainstemError
from mainstem.nodes.base import Node


def from_project(root: Path, modules: Iterable[str]) -> dict[str, Node]:
    """Every node of the project at `root` by name. Raises `DefinitionError`."""
    named: dict[str, Node] = {}
    for module in modules:
        _add(named, from_namespace(vars(_import(root, module))))
    for file in sorted((root / "sql").glob("*.sql")):
        from mainstem.tables.sql import parse_file

        _add(named, {file.stem: parse_file(file)})
    return named


def from_namespace(namespace: Mapping[str, Any]) -> dict[str, Node]:
    """The nodes among a module's or notebook's names; a node's own `name=` wins over the attribute's."""
    named: dict[str, Node] = {}
    for attribute, value in namespace.items():
        if isinstance(value, Node) and not attribute.startswith("_"):
            _add(named, {value.name or attribute: value})
    return named


def _add(named: dict[str, Node], more: Mapping[str, Node]) -> None:
    for name, node in more.items():
        other = named.setdefault(name, node)
        if other is not node:
            raise DefinitionError(
                f"two nodes are called {name!r}",
                where=f"{other.origin} and {node.origin}",
                hint="rename one, or give it name=…",
            )


def _import(root: Path, module: str) -> ModuleType:
    """Import a project's module afresh: another project may have brought one of the same name."""
    for name in [n for n, m in sys.modules.items() if n == module or _lives_below(m, root)]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(module)
    except MainstemError:
        raise
    except ModuleNotFoundError as problem:
        if problem.name != module:
            raise _broken(module, problem) from problem
        raise DefinitionError(
            f"there is no module {module!r}",
            where=str(root / "mainstem.toml"),
            expected=f"{module}.py beside mainstem.toml",
        ) from None
    except Exception as problem:
        raise _broken(module, problem) from problem
    finally:
        sys.path.remove(str(root))


def _lives_below(module: ModuleType, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(str(file)).parent == root


def _broken(module: str, problem: Exception) -> DefinitionError:
    trace = problem.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else module
    if isinstance(problem, SyntaxError) and problem.filename:
        place = f"{Path(problem.filename).name}:{problem.lineno}"
    return DefinitionError(
        f"the module {module!r} cannot be imported", where=place, got=f"{type(problem).__name__}: {problem}"
    )
