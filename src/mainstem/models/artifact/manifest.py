"""The manifest next to model.onnx: everything needed to use the model, to check it, and to trace its origin."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from mainstem.errors import ModelError
from mainstem.nodes.models import Task
from mainstem.nodes.records import InputColumn, Measure, now

FORMAT = 1
FILE = "manifest.json"
MODEL = "model.onnx"
EARLIER = ("earlier.onnx", "fold-1.onnx")
"""The artifact that was measured: of a version with a test, and the first one of a cross-validated version."""


@dataclass(frozen=True)
class Agreement:
    """The result of the gate: on `rows` rows, scores of artifact and fitted model differ by at most `largest`.

    The unit is the tolerance, 1e-6 + 1e-5·|y|.
    """

    rows: int
    largest: float


@dataclass(frozen=True)
class Preparation:
    """What the fitted model does with an input, in words. `type` is `number` or `text`, or `made`
    of a feature that the fit made of inputs. `left_out` says that it does
    not reach the model, `declared` that the user chose the step."""

    input: str
    type: str
    done: str
    left_out: bool = False
    declared: bool = False


@dataclass(frozen=True)
class Manifest:
    """The signature (`inputs` → `score`), the measurements and the lineage of an artifact. `sha256` is its model's
    hash.

    `model.onnx` is fitted on all labelled rows, the latest from `trained_until`. `earlier` are the artifacts that were
    measured, by file, each with its hash; one with a test was fitted on rows until `measured_until`. Versions are
    compared with these, on rows that they have not seen.

    `folds` are the scores of each candidate in the folds that define the metric, and `means` are over them, by the
    weights of these folds.
    `confusion` counts the test rows of each class, in the order of `classes`, by the class that was decided for.
    `importances` are shares per input. `preparation` is what is done with each input, empty if the algorithm does not
    tell. `settings` are the algorithm's. `evaluation` describes how it was measured, and
    `evaluated` is the hash of the file with all that was kept of it. `threshold` turns the score of a binary model into
    a decision. `request` are the fields of a request with their Ibis types. `choice` is what was chosen, as plain data:
    from it the version can be fitted again. `horizons` are those that a forecast learned. `grid` is the step (µs) that
    its rows are a multiple of apart, and the time of one of them.
    """

    model: str
    number: int
    task: Task
    algorithm: str
    metric: str
    inputs: tuple[InputColumn, ...]
    sha256: str
    classes: tuple[str, ...] = ()
    format: int = FORMAT
    created_at: datetime = field(default_factory=now)
    run: str = ""
    fingerprint: str = ""
    metrics: Mapping[str, Measure] = field(default_factory=dict)
    baseline: Mapping[str, Measure] = field(default_factory=dict)
    folds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    means: Mapping[str, float] = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, str] = field(default_factory=dict)
    evaluated: str = ""
    threshold: float | None = None
    importances: Mapping[str, float] = field(default_factory=dict)
    preparation: tuple[Preparation, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    trained_until: datetime | None = None
    measured_until: datetime | None = None
    earlier: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, int] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    request: Mapping[str, str] | None = None
    gate: Agreement | None = None
    choice: Mapping[str, Any] = field(default_factory=dict)
    horizons: tuple[str, ...] = ()
    grid: tuple[int, int] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def read(directory: Path) -> Manifest:
    """Return the manifest of an artifact. Raises `ModelError` if it is missing, damaged, or from a newer Mainstem."""
    path = directory / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ModelError(
            "the directory has no model artifact", where=str(directory), expected=FILE, hint="mainstem run"
        ) from None
    except (OSError, msgspec.MsgspecError) as problem:
        hint = "roll back to an older version, or train again"
        raise ModelError("the manifest cannot be read", where=str(path), got=str(problem), hint=hint) from problem
    if found.format > FORMAT:
        raise ModelError(
            "the artifact was written by a newer version of Mainstem",
            where=str(path),
            got=f"format {found.format}",
            expected=f"at most {FORMAT}",
        )
    return found


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def versions() -> dict[str, str]:
    """Return the installed versions of Python and of the libraries that a model depends on."""
    found = {"python": platform.python_version()}
    for library in (
        "mainstem",
        "numpy",
        "scikit-learn",
        "lightgbm",
        "xgboost",
        "xgboost-cpu",
        "catboost",
        "optuna",
        "skl2onnx",
        "onnx",
        "onnxruntime",
    ):
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found
