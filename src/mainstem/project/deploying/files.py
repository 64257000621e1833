"""The files of a deployment: an image, a compose file and Kubernetes manifests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mainstem.errors import MainstemError, MissingExtra, RequestError
from mainstem.nodes.durations import microseconds
from mainstem.project.deploying.needs import Needs

FILES = {
    "Dockerfile": "Dockerfile",
    "dockerignore": "Dockerfile.dockerignore",
    "compose.yaml": "compose.yaml",
    "kubernetes.yaml": "kubernetes.yaml",
    "README.md": "README.md",
}
"""Templates, and the file that each becomes."""


def write(
    found: Needs, root: Path, directory: Path, *, image: str | None, replicas: int, every: str, storage: str
) -> list[str]:
    """Write the files to `directory`, and return their names. `root` is the project's directory.

    `every` is the time between runs, such as `"1h"`, `storage` the size of the volume, such as `"20Gi"`. Raises
    `RequestError` for more than one replica of a project whose state is kept in files, for a time that no schedule has,
    and for a file that exists with another text.
    """
    if replicas < 1 or (replicas > 1 and not found.shared):
        raise RequestError(
            "this profile keeps its state in files, so one server answers" if replicas > 1 else "no server answers",
            where=f"profile {found.profile}",
            got=f"--replicas {replicas}",
            expected="--replicas 1",
            hint='a profile with online = "redis://…" and state = "postgresql://…" has as many as you like',
        )
    minutes, schedule = scheduled(every)
    texts = rendered(
        found,
        image=image or f"{found.name}:latest",
        replicas=replicas,
        every=every,
        seconds=60 * minutes,
        schedule=schedule,
        storage=storage,
        path=Path(os.path.relpath(directory, root)).as_posix(),
        context=Path(os.path.relpath(root, directory)).as_posix(),
    )
    changed = [name for name, text in texts.items() if _differs(directory / name, text)]
    if changed:
        place, hint = str(directory / changed[0]), "remove it, or write to another directory"
        raise RequestError("a file exists with another text", where=place, hint=hint)
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (directory / name).write_text(text)
    return list(texts)


def scheduled(every: str) -> tuple[int, str]:
    """Return a time between runs in minutes, and as the schedule of a CronJob. Raises `RequestError`."""
    expected = "a part of an hour or of a day: 5min, 15min, 1h, 6h, 1d"
    try:
        minutes, rest = divmod(microseconds(every), 60_000_000)
    except MainstemError as error:
        raise RequestError("the time between runs is not a duration", got=every, expected=expected) from error
    hours, odd = divmod(minutes, 60)
    if rest == 0 and 0 < minutes < 60 and 60 % minutes == 0:
        return minutes, f"*/{minutes} * * * *"
    if rest == odd == 0 and 0 < hours <= 24 and 24 % hours == 0:
        return minutes, "0 0 * * *" if hours == 24 else f"0 */{hours} * * *"
    raise RequestError("no schedule has this time between runs", got=every, expected=expected)


def rendered(found: Needs, **settings: Any) -> dict[str, str]:
    """Return the texts of the files by name."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtra.named("serve", "jinja2") from None
    loader = PackageLoader("mainstem.project.deploying")
    environment = Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return {
        name: environment.get_template(template).render(needs=found, **settings) for template, name in FILES.items()
    }


def _differs(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() != text
