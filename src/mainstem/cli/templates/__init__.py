"""The projects that `mainstem init` can write, each a directory next to this file."""

from __future__ import annotations

import shutil
from pathlib import Path

from mainstem.errors import NotFound, SettingsError, close_matches

HOME = Path(__file__).parent
RENAMED = {"gitignore": ".gitignore"}  # named so, because a real .gitignore would hide files of this repository


def names() -> list[str]:
    """Return the names of the templates."""
    return sorted(path.parent.name for path in HOME.glob("*/mainstem.toml"))


def copy(template: str, directory: Path) -> list[str]:
    """Copy a template into an empty or new directory. Return the written files. Raises `MainstemError`."""
    if template not in names():
        expected = f"one of {', '.join(names())}"
        raise NotFound(f"unknown template {template!r}", expected=expected, hint=close_matches(template, names()))
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SettingsError(
            "a new project requires an empty directory",
            where=str(directory.resolve()),
            got="a file" if not directory.is_dir() else f"{len(list(directory.iterdir()))} files and directories",
            expected="an empty or new directory",
            hint=f"mainstem init {template} another-directory",
        )
    sources = [p for p in sorted((HOME / template).rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    targets = [_target(source.relative_to(HOME / template)) for source in sources]
    for source, target in zip(sources, targets, strict=True):
        (directory / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, directory / target)
    return [str(target) for target in targets]


def _target(relative: Path) -> Path:
    return relative.with_name(RENAMED.get(relative.name, relative.name))
