"""The projects that `mainstem init` can write, each a directory next to this file."""

from __future__ import annotations

import shutil
from pathlib import Path

from mainstem.errors import NotFound, SettingsError, close_matches

HOME = Path(__file__).parent
TABLE = "table"
"""The template that is written for a CSV file."""

RENAMED = {"gitignore": ".gitignore"}  # named so, because a real .gitignore would hide files of this repository


def names() -> list[str]:
    """Return the names of the templates."""
    return sorted(path.parent.name for path in HOME.glob("*/mainstem.toml"))


def copy(template: str, directory: Path) -> list[str]:
    """Copy a template into an empty or new directory. Return the written files. Raises `MainstemError`."""
    if template not in names():
        known = [*names(), TABLE]
        expected = f"one of {', '.join(known)}"
        raise NotFound(f"unknown template {template!r}", expected=expected, hint=close_matches(template, known))
    refuse_used(directory, f"mainstem init {template} another-directory")
    sources = [p for p in sorted((HOME / template).rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    targets = [_target(source.relative_to(HOME / template)) for source in sources]
    for source, target in zip(sources, targets, strict=True):
        (directory / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, directory / target)
    return [str(target) for target in targets]


def refuse_used(directory: Path, hint: str) -> None:
    """Raise `SettingsError` if a directory for a new project has something in it."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SettingsError(
            "a new project requires an empty directory",
            where=str(directory.resolve()),
            got="a file" if not directory.is_dir() else f"{len(list(directory.iterdir()))} files and directories",
            expected="an empty or new directory",
            hint=hint,
        )


def _target(relative: Path) -> Path:
    return relative.with_name(RENAMED.get(relative.name, relative.name))
