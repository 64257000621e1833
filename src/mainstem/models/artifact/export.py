"""Save a fitted estimator as an artifact: the graph and its manifest in a directory that is created atomically."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mainstem.errors import StorageError
from mainstem.models.algorithms.base import Estimator
from mainstem.models.artifact.manifest import FILE, MODEL, Manifest, encode
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.models import WIDE, Task


def graph(estimator: Estimator, floats: int, strings: int, task: Task, classes: int = 0) -> bytes:
    """Return the ONNX model: `floats` [rows, F] float32 and `strings` [rows, S] to `score` float64.

    An input of width 0 is left out.
    """
    builder = Builder()
    score = estimator.onnx(builder)
    shape: list[int | str] = ["rows", classes] if task in WIDE else ["rows"]
    return builder.model({builder.floats: floats, builder.strings: strings}, score, shape)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def save(root: Path, manifest: Manifest, model: bytes, beside: Mapping[str, bytes] | None = None) -> Path | None:
    """Write `models/NAME/NUMBER` below `root` atomically, with the files `beside` the model by name.

    Returns the path relative to `root`; None if another run has taken the number. Raises `StorageError` if the write
    fails.
    """
    relative = Path("models", manifest.model, str(manifest.number))
    target = root / relative
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
        try:
            for name, content in {MODEL: model, **(beside or {})}.items():
                _write(draft / name, content)
            _write(draft / FILE, encode(manifest))
            draft.chmod(0o755)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as problem:
        if target.exists():
            return None
        raise StorageError("the model could not be saved", where=str(target), got=str(problem)) from problem
    return relative


def next_number(root: Path, name: str, known: int) -> int:
    """Return the number after the last `known` one, and after any that a run left on disk without a record."""
    home = root / "models" / name
    found = [int(path.name) for path in home.iterdir() if path.name.isdigit()] if home.is_dir() else []
    return max([known, *found]) + 1


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
