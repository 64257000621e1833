"""A fitted ONNX model of the user's own as a candidate: it is measured, gated and served, and never fitted here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import DefinitionError, MissingExtra, ModelError
from mainstem.models.algorithms.base import Settings
from mainstem.models.algorithms.settings import USUAL
from mainstem.models.data.rows import Examples, Matrix, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.graphs.own import Given, Own, own
from mainstem.models.preprocessing import BY_NAME, Numbers
from mainstem.models.preprocessing.scales import WITHIN
from mainstem.nodes.base import Origin
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import columns, number, optional, text
from mainstem.nodes.models import Task
from mainstem.nodes.prepare import Number

BATCH = 4_096
WHOLE = float(2**31 - 128)
"""The largest whole number that an input of integers gets: a float32 that an int32 can hold."""


@dataclass(frozen=True, eq=False)
class OnnxScore:
    """The model, run as it came, over bounded numbers and the texts."""

    task: Task
    classes: int
    bounded: Numbers
    own: Own
    where: str
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        floats = self.bounded.transform(rows.floats)
        parts = [self._some(floats[i : i + BATCH], rows.strings[i : i + BATCH]) for i in range(0, len(rows), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.classes) if self.task == "multiclass" else 0)

    def onnx(self, builder: Builder) -> str:
        wide = self.bounded.width
        floats = self.bounded.onnx(builder, builder.floats) if wide else ""
        tensors = {each.name: _tensor(builder, each, floats, builder.strings) for each in self.own.inputs}
        found = builder.cast(builder.include(self.own.model, tensors)[self.own.output], "DOUBLE")
        if self.task == "multiclass":
            return found
        if self.task == "binary" and self.own.width == 2:
            found = builder.add("Gather", found, builder.constant(np.array([1], np.int64)), axis=1)
        return builder.add("Reshape", found, builder.constant(np.array([-1], np.int64)))

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return np.zeros(inputs)

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            content = self.own.model.SerializeToString()
            return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as problem:
            raise ModelError("ONNX Runtime refuses the model", where=self.where, got=str(problem)[:300]) from None

    def _some(self, floats: Matrix, strings: NDArray[Any]) -> Scores:
        feed = {each.name: _array(each, floats, strings) for each in self.own.inputs}
        output = self.own.model.graph.output[self.own.output].name
        try:
            found = np.asarray(self._session.run([output], feed)[0], float)
        except ModelError:
            raise
        except Exception as problem:
            raise ModelError("the model cannot score these rows", where=self.where, got=str(problem)[:300]) from None
        if self.task == "multiclass":
            return found
        if self.task == "binary" and found.ndim == 2 and found.shape[1] == 2:
            found = found[:, 1]
        return found.reshape(-1)


@dataclass(frozen=True)
class OnnxModel:
    """A fitted model in a file. `sha256` is that of the file: another file is another definition."""

    path: str
    inputs: tuple[str, ...]
    output: str | None
    missing: float | None
    sha256: str
    tasks: ClassVar[tuple[Task, ...]] = (*USUAL, "count")
    prepares: ClassVar[bool] = False
    fixed: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return Path(self.path).name

    @property
    def chosen(self) -> dict[str, Any]:
        """Where the model is from, as the card has it."""
        return {"file": self.path, "sha256": self.sha256}

    def fit(self, examples: Examples, settings: Settings | None = None) -> OnnxScore:
        """Return the model over these inputs. Only the bounds of numbers are from the rows. Raises `ModelError`."""
        width = examples.rows.floats.shape[1]
        model = self.bound(examples.names[:width], examples.names[width:])
        step = BY_NAME if self.missing is None else Number(self.missing, WITHIN, False)
        found = OnnxScore(examples.task, examples.classes, Numbers.fit(examples.rows.floats, step), model, self.path)
        self._check(found, examples)
        return found

    def bound(self, floats: Sequence[str], strings: Sequence[str]) -> Own:
        """Return the model with its inputs bound to columns. Raises `ModelError`, `UnknownName` and `MissingExtra`."""
        try:
            import onnx  # noqa: F401 - the error names the extra
        except ImportError:
            raise MissingExtra.named("learn", "onnx") from None
        return own(_CONTENT[self.sha256], self.path, floats, strings, order=self.inputs, output=self.output)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}

    def _check(self, found: OnnxScore, examples: Examples) -> None:
        """Refuse scores that are not of the task. Raises `ModelError`."""
        some = found.scores(examples.rows.take(np.arange(min(len(examples), 200))))
        expected = (len(some), examples.classes) if examples.task == "multiclass" else (min(len(examples), 200),)
        if some.shape != expected:
            raise ModelError(
                f"the model does not score the task {examples.task!r}",
                where=self.path,
                got=f"scores of the shape {list(some.shape)}",
                expected=f"{list(expected)}: {_MEANING[examples.task]}",
                hint="output= names another output of the model",
            )
        known = some[np.isfinite(some)]
        if examples.task in ("binary", "multiclass") and len(known) and not (known.min() >= 0 and known.max() <= 1):
            raise ModelError(
                "the model does not give probabilities",
                where=self.path,
                got=f"scores from {known.min():.4g} to {known.max():.4g}",
                expected="numbers from 0 to 1",
                hint="end the model with Sigmoid or Softmax, or name the output of probabilities: output=…",
            )


_MEANING = {
    "binary": "P(true), or the probabilities of false and true",
    "multiclass": "a probability for each class, in the order of their names",
    "regression": "a value for each row",
    "count": "an expected count for each row",
}

_CONTENT: dict[str, bytes] = {}
"""The files that were declared, by hash: a file that changes after loading is not mixed in."""


@declared(path=text, inputs=columns(), output=optional(text), missing=optional(number()))
def onnx_model(
    path: str, *, inputs: str | Sequence[str] | None = None, output: str | None = None, missing: float | None = None
) -> OnnxModel:
    """Return a fitted ONNX model in a file as a candidate. It is measured and gated as others are, and never fitted.

    `path` is relative to the module that declares it. An input of the model that is named like a column gets
    that column; another one gets all numbers (or all texts) in the order of `features`, or those that `inputs` names.
    `output` is the name of the output with the scores: P(true) [n], [n, 1] or [n, 2], probabilities [n, K] in the order
    of the classes' names, or values [n] or [n, 1]. By default it is the last one of numbers. `missing` stands for a
    missing number. Raises `DefinitionError` if the file cannot be read.
    """
    origin = Origin.of_caller()
    file = Path(origin.file).parent / path
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise DefinitionError(
            f"the model {path!r} cannot be read", where=str(origin), got=str(problem.strerror), expected="an ONNX file"
        ) from None
    found = sha256(content).hexdigest()
    _CONTENT[found] = content
    given = () if inputs is None else (inputs,) if isinstance(inputs, str) else tuple(inputs)
    return OnnxModel(path, given, output, None if missing is None else float(missing), found)


def _array(given: Given, floats: Matrix, strings: NDArray[Any]) -> NDArray[Any]:
    block = strings if given.kind == "STRING" else floats
    found = block[:, list(given.columns)]
    if given.kind in ("INT64", "INT32"):
        found = np.clip(np.where(np.isnan(found), 0, found), -WHOLE, WHOLE).astype(given.kind.lower())
    elif given.kind == "BOOL":
        found = (found != 0) & ~np.isnan(found)
    elif given.kind == "DOUBLE":
        found = found.astype(np.float64)
    return found[:, 0] if given.flat else found


def _tensor(builder: Builder, given: Given, floats: str, strings: str) -> str:
    block = strings if given.kind == "STRING" else floats
    place = np.array(given.columns, np.int64)
    found = builder.add("Gather", block, builder.constant(place), axis=1)
    zero = np.array(0, np.float32)
    if given.kind in ("INT64", "INT32", "BOOL"):
        found = builder.add("Where", builder.add("IsNaN", found), builder.constant(zero), found)
    if given.kind in ("INT64", "INT32"):
        ends = (builder.constant(np.array(end, np.float32)) for end in (-WHOLE, WHOLE))
        found = builder.add("Clip", found, *ends)
    if given.kind not in ("STRING", "FLOAT"):
        found = builder.cast(found, given.kind)
    return builder.add("Reshape", found, builder.constant(np.array([-1], np.int64))) if given.flat else found
