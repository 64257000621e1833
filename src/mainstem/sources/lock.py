"""schemas.lock: the schemas of sources. Each is introspected once, then kept and committed with the project."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ibis

from mainstem.errors import SettingsError
from mainstem.nodes.instants import INSTANT

HEADER = """\
# The columns of every source and their types, as they were when each was first seen.
# Part of the project: commit it. A line may be corrected; a source left out is looked at again.
"""

Schemas = Mapping[str, Mapping[str, str]]


def read_lock(path: Path) -> dict[str, dict[str, str]]:
    """Return columns and Ibis types by source; empty without a file. Raises `SettingsError`."""
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("schemas.lock is not valid TOML", where=str(path), got=str(error)) from error
    for name, columns in content.items():
        for column, type in columns.items() if isinstance(columns, dict) else [(name, columns)]:
            _check_type(type, f"{path.name}: [{name}] {column}")
    return content


def write_lock(path: Path, schemas: Schemas) -> None:
    """Write sources in alphabetical order and columns in their own order. The file is replaced atomically."""
    sections = [_section(name, schemas[name]) for name in sorted(schemas)]
    draft = path.with_name(f"{path.name}.part")
    draft.write_text("\n".join([HEADER, *sections]))
    draft.replace(path)


def _section(name: str, columns: Mapping[str, str]) -> str:
    lines = [f"{_key(column)} = {json.dumps(type, ensure_ascii=False)}" for column, type in columns.items()]
    return "\n".join([f"[{_key(name)}]", *lines, ""])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _check_type(type: Any, where: str) -> None:
    try:
        ibis.dtype(type)
    except Exception as error:
        raise SettingsError(f"{type!r} is not a type", where=where, expected=f"such as int64 or {INSTANT}") from error
