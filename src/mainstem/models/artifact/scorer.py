"""Score rows with an artifact. The server, streams and batches use the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import MissingExtra, ModelError
from mainstem.models.artifact.manifest import MODEL, Manifest, read
from mainstem.models.data.columns import Columns, floats_of, split_inputs, strings_of
from mainstem.models.data.quantiles import middle
from mainstem.models.data.rows import Rows

BATCH = 4_096
"""The rows that are scored at once. Nearest neighbours hold a distance for each row and each remembered one."""


class Scorer:
    """A loaded model. It is thread-safe.

    `inputs` are its input columns, `classes` the names of its scores if there are several: classes or quantiles.
    """

    def __init__(self, manifest: Manifest, model: bytes) -> None:
        self.manifest = manifest
        self.inputs = manifest.inputs
        self.classes = manifest.classes
        self.floats, self.strings = split_inputs(manifest.inputs)
        self._session = session(model)

    @classmethod
    def load(cls, directory: Path, file: str = MODEL) -> Scorer:
        """Load the artifact in a directory, or one of its earlier ones. Raises `ModelError` if it is missing, damaged
        or differs from its manifest."""
        return cls(*verified(directory, file))

    def best(self, score: NDArray[np.float64]) -> int:
        """Return the place of the one of several scores that answers alone: the likeliest class, or the median."""
        return middle(self.classes) if self.manifest.task == "quantile" else int(np.argmax(score))

    def score(self, columns: Columns) -> NDArray[np.float64]:
        """Return P(true) [n], values [n], probabilities [n, K] or quantiles [n, Q] for lists or arrays by input name.

        Raises `ModelError`.

        Unknown texts are treated as rare ones. None and NaN are missing.
        """
        return self.score_rows(self.matrix(columns))

    def matrix(self, columns: Columns) -> Rows:
        """Return the columns as the two blocks of graph inputs."""
        floats, strings = floats_of(columns, self.floats), strings_of(columns, self.strings)
        if self.floats and self.strings and len(floats) != len(strings):
            raise ModelError("the inputs differ in length", got=f"{len(floats)} numbers, {len(strings)} texts")
        return Rows(floats, strings)

    def score_rows(self, rows: Rows) -> NDArray[np.float64]:
        """Return the scores of blocks from `matrix`."""
        return run(self._session, rows)


def verified(directory: Path, file: str = MODEL) -> tuple[Manifest, bytes]:
    """Return the manifest and the bytes of an artifact. Raises `ModelError` as `Scorer.load` does."""
    manifest = read(directory)
    path, expected = directory / file, manifest.sha256 if file == MODEL else manifest.earlier.get(file, "")
    try:
        model = path.read_bytes()
    except OSError as problem:
        raise ModelError("the model cannot be read", where=str(path), got=str(problem)) from problem
    found = hashlib.sha256(model).hexdigest()
    if found != expected:
        raise ModelError(
            "the model is not the one its manifest describes",
            where=str(path),
            got=f"{len(model)} bytes, sha256 {found[:12]}…",
            expected=f"sha256 {expected[:12]}…",
            hint="the file was truncated or changed: roll back to an older version, or train again",
        )
    return manifest, model


def session(model: bytes) -> Any:
    """Return an ONNX Runtime session on one thread. Raises `ModelError` if the bytes are not a model."""
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra.named("learn", "onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        raise ModelError("ONNX Runtime refuses the model", got=str(problem)) from problem


CHARACTERS = 2**18
"""Rows times the characters of the longest text that are scored at once: the words of texts fill a rectangle."""


def run(loaded: Any, rows: Rows) -> NDArray[np.float64]:
    """Return the scores of a session, some rows at a time. Raises `ModelError` for text that is not valid Unicode."""
    count = max(len(rows.floats), len(rows.strings))
    batch = min(BATCH, max(1, CHARACTERS // _longest(rows.strings)))
    if count <= batch:
        return _run(loaded, rows)
    parts = [Rows(rows.floats[i : i + batch], rows.strings[i : i + batch]) for i in range(0, count, batch)]
    return np.concatenate([_run(loaded, part) for part in parts])


def _longest(strings: NDArray[Any]) -> int:
    """Return the characters of the longest text, at least 1."""
    return max(map(len, strings.ravel().tolist()), default=0) or 1


def _run(loaded: Any, rows: Rows) -> NDArray[np.float64]:
    feed: dict[str, NDArray[Any]] = {}
    if rows.floats.shape[1]:
        feed["floats"] = rows.floats
    if rows.strings.shape[1]:
        feed["strings"] = rows.strings
    try:
        return np.asarray(loaded.run(None, feed)[0], np.float64)
    except Exception as problem:
        raise ModelError("the model cannot score these rows", got=str(problem)) from problem
