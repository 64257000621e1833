"""The evaluation beside a model: a file of its own, which serving never reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from mainstem.errors import ModelError
from mainstem.models.artifact.manifest import Manifest
from mainstem.nodes.evaluations import Evaluation

EVALUATION = "evaluation.json"


def encode(evaluation: Evaluation) -> bytes:
    return msgspec.json.encode(evaluation) + b"\n"


def read(directory: Path, manifest: Manifest) -> Evaluation | None:
    """Return the evaluation of a version; None for one that was made before evaluations were kept.

    Raises `ModelError` if it is missing or differs from its manifest.
    """
    if not manifest.evaluated:
        return None
    path = directory / EVALUATION
    try:
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != manifest.evaluated:
            raise ModelError(
                "the evaluation is not the one its manifest describes",
                where=str(path),
                got=f"sha256 {found[:12]}…",
                expected=f"sha256 {manifest.evaluated[:12]}…",
                hint="the file was changed: restore it from a backup, or train again",
            )
        return msgspec.json.decode(content, type=Evaluation)
    except (OSError, msgspec.MsgspecError) as problem:
        raise ModelError("the evaluation cannot be read", where=str(path), got=str(problem)) from problem
