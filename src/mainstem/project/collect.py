"""Load a project's declarations: from the modules of mainstem.toml, and from `sql/*.sql`."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mainstem.errors import DefinitionError, MainstemError, close_matches
from mainstem.nodes.base import Node


def from_project(root: Path, modules: Iterable[str]) -> dict[str, Node]:
    """Return every node of the project at `root` by name. Raises `DefinitionError`."""
    named: dict[str, Node] = {}
    wanted = tuple(modules)
    _forget(root, wanted)
    for module in wanted:
        _add(named, from_namespace(vars(_import(root, module))))
    for file in sorted((root / "sql").glob("*.sql")):
        from mainstem.tables.sql import parse_file

        _add(named, {file.stem: parse_file(file)})
    return named


def from_namespace(namespace: Mapping[str, Any]) -> dict[str, Node]:
    """Return the nodes among a module's or notebook's names. A node's own `name=` has precedence over the attribute."""
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
                f"two nodes have the name {name!r}",
                where=f"{other.origin} and {node.origin}",
                hint="rename one, or give it name=…",
            )


def _forget(root: Path, modules: Sequence[str]) -> None:
    """Remove a project's modules from the import cache, so that they are imported again.

    Another project may have modules of the same names. A running script of the project stays imported.
    """
    running = sys.modules.get("__main__")
    for name in [n for n, m in sys.modules.items() if m is not running and (n in modules or _lives_below(m, root))]:
        del sys.modules[name]


def _import(root: Path, module: str) -> ModuleType:
    sys.path.insert(0, str(root))
    try:
        importlib.invalidate_caches()
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
    except Exception as problem:
        raise _broken(root, module, problem) from problem
    finally:
        sys.path.remove(str(root))


def _lives_below(module: ModuleType, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(str(file)).parent == root


def _broken(root: Path, module: str, problem: Exception) -> DefinitionError:
    said = problem.msg if isinstance(problem, SyntaxError) else problem
    return DefinitionError(
        f"the module {module!r} cannot be imported",
        where=_place(root, problem) or module,
        got=f"{type(problem).__name__}: {said}",
        expected="a module that Python imports without an error",
        hint=_advice(problem, module),
    )


def _place(root: Path, problem: Exception) -> str | None:
    """Return the line that Python cannot parse, or the project's last line in the traceback."""
    if isinstance(problem, SyntaxError) and problem.filename:
        return f"{Path(problem.filename).name}:{problem.lineno}  {(problem.text or '').strip()}"
    frames = traceback.extract_tb(problem.__traceback__)
    lines = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    return f"{Path(lines[-1].filename).name}:{lines[-1].lineno}  {lines[-1].line}" if lines else None


def _advice(problem: Exception, module: str) -> str:
    if isinstance(problem, ModuleNotFoundError):
        return f"check the name {problem.name!r}, and that it is installed in Mainstem's environment"
    last = traceback.extract_tb(problem.__traceback__)[-1]
    if isinstance(problem, KeyError) and last.filename in ("<frozen os>", os.__file__):
        return f"export {problem.args[0]}=…"
    return f"`python -c 'import {module}'` in the project's directory shows the whole traceback"
