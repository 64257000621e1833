"""The learning task of a target, and its labels as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.nodes.models import CLASSES, Task
from mainstem.sources.texts import MISSING

if TYPE_CHECKING:
    import pyarrow as pa
    from ibis.expr.datatypes import DataType

DEFAULT_METRIC: dict[Task, str] = {
    "binary": "average_precision",
    "multiclass": "log_loss",
    "regression": "rmse",
    "count": "poisson_deviance",
    "quantile": "pinball",
    "ranking": "ndcg_10",
}

MOST_CLASSES = 100

MOST_GRADES = 30
"""The highest grade of a ranking: a grade g is worth 2^g − 1."""


PERHAPS_NO_LABEL = ("none", "nil", "-", "--", "?", ".")
"""Texts, in lower case and without space around them, that may be a class or a missing target."""

NO_LABEL = tuple(text for text in MISSING if text not in PERHAPS_NO_LABEL)
"""Texts that are never a class: they stand for a missing target."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A target as numbers for the rows `known`: `y` is 0/1 or a class index (int64), or a value (float64).

    Rows with a null or non-finite target are unlabelled, not negative.
    """

    task: Task
    y: NDArray[Any]
    known: NDArray[np.bool_]
    classes: tuple[str, ...] = ()


def infer(target: DataType | str) -> Task:
    """Return the task of a target's Ibis type: boolean → binary, text → multiclass, number → regression."""
    import ibis.expr.datatypes as dt

    kind = dt.dtype(target)
    if kind.is_boolean():
        return "binary"
    if kind.is_string():
        return "multiclass"
    if kind.is_numeric():
        return "regression"
    raise ModelError(
        "unsupported type of target",
        got=str(kind),
        expected="a boolean, a text or a number",
        hint="compare it with a value: target=_.arr_delay > 15",
    )


def check_target(target: DataType | str, task: Task) -> None:
    """Refuse a type of target that a declared task cannot learn. Raises `ModelError`."""
    import ibis.expr.datatypes as dt

    kind = dt.dtype(target)
    if task in ("ranking", "regression") and kind.is_boolean():
        return
    if task not in CLASSES and not kind.is_numeric():
        raise ModelError(
            f"the task {task!r} requires a target that is a number",
            got=str(kind),
            hint='.cast("float64") of the target, if its texts are numbers' if kind.is_string() else None,
        )


def labels(target: pa.ChunkedArray | pa.Array, task: Task) -> Labels:
    """Return the labels of a target column. Raises `ModelError` if they are not sufficient for training, and for a text
    that stands for a missing target."""
    if task in CLASSES and (missing := texts_among(target, NO_LABEL)):
        raise ModelError(
            "the target has texts that stand for a missing value",
            got=f"{told(missing)} of {len(target):,} rows",
            expected="null, which is unlabelled; such a text would be a class of its own",
            hint=f'ms.files(…, options={{"nulls": {{"COLUMN": [{", ".join(map(_quoted, missing))}]}}}}), or '
            f"target=_.COLUMN.nullif({_quoted(next(iter(missing)))}); a real class needs another text",
        )
    found = labels_of(target, task)
    _teachable(found, len(target))
    return found


def texts_among(target: Any, words: Sequence[str]) -> dict[str, int]:
    """Return how many rows of a target have each text that is one of `words`, in any case, with space around it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(target.type) or pa.types.is_large_string(target.type)):
        return {}
    counted = pc.value_counts(target.drop_null()).to_pylist()
    found = {each["values"]: each["counts"] for each in counted if each["values"].strip().lower() in words}
    return dict(sorted(found.items()))


def told(counts: Mapping[str, int]) -> str:
    """Return texts and their rows in words: `'-' in 12, 'none' in 3`."""
    return ", ".join(f"{text!r} in {count:,}" for text, count in counts.items())


def _quoted(text: str) -> str:
    return f'"{text}"'


def labels_of(target: pa.ChunkedArray | pa.Array, task: Task) -> Labels:
    """Return the labels without a minimum. Raises `ModelError` for values that do not fit the task."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if task not in CLASSES:
        values = _numbers(target)
        known = np.isfinite(values)
        if task == "count":
            _counts(values[known])
        if task == "ranking":
            _grades(values[known])
        return Labels(task, values[known], known)
    if pa.types.is_floating(target.type):
        # As texts, NaN and infinity would be classes of their own.
        target = pc.if_else(pc.is_finite(target), target, pa.scalar(None, target.type))
    y, classes = _classes(target.drop_null(), task)
    return Labels(task, y, np.asarray(pc.is_valid(target)), classes)


def numbered(target: pa.ChunkedArray | pa.Array, task: Task, classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the labels of rows by the classes of others; NaN for an unlabelled row, and for one of another class."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if task not in CLASSES:
        values = _numbers(target)
        return np.where(np.isfinite(values), values, np.nan)
    numbers = pc.index_in(_one_chunk(target.cast(pa.string())), pa.array(classes, pa.string()))
    return np.asarray(numbers.cast(pa.float64()).to_numpy(zero_copy_only=False), float)


def _numbers(target: Any) -> NDArray[np.float64]:
    import pyarrow as pa

    if pa.types.is_boolean(target.type):
        target = target.cast(pa.int8())
    return np.asarray(_one_chunk(target).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), float)


def _classes(target: Any, task: Task) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    import pyarrow as pa

    encoded = _one_chunk(target.cast(pa.string())).dictionary_encode()
    found = encoded.dictionary.to_pylist()
    classes = tuple(sorted(found))
    if len(classes) > MOST_CLASSES:
        raise ModelError("too many classes", got=f"{len(classes)} distinct targets", expected=f"at most {MOST_CLASSES}")
    number = {name: index for index, name in enumerate(classes)}
    numbers = np.array([number[name] for name in found], np.int64)
    return numbers[encoded.indices.to_numpy(zero_copy_only=False)], classes


def _grades(values: NDArray[np.float64]) -> None:
    wrong = (values < 0) | (values > MOST_GRADES) | (values != np.floor(values))
    if wrong.any():
        raise ModelError(
            f"a grade must be a whole number from 0 to {MOST_GRADES}",
            got=f"{values[wrong][0]:g}, and {int(wrong.sum()):,} of {len(values):,} labelled rows are not one",
            expected="true or false, or grades such as 0, 1, 2, of which higher ones come first",
        )


def _counts(values: NDArray[np.float64]) -> None:
    wrong = (values < 0) | (values != np.floor(values))
    if wrong.any():
        raise ModelError(
            "a count must be a whole number of at least 0",
            got=f"{values[wrong][0]:g}, and {int(wrong.sum()):,} of {len(values):,} labelled rows are not one",
            expected='whole numbers, such as visits or sales of a day, for task="count"',
            hint='task="regression" learns other numbers',
        )


def _one_chunk(column: Any) -> Any:
    return column.combine_chunks() if hasattr(column, "combine_chunks") else column


def _teachable(found: Labels, rows: int) -> None:
    if not len(found.y):
        raise ModelError(
            "no row has a known target",
            got=f"{rows} examples, all unlabelled",
            hint="outcomes may arrive later; check that the target's source is collected, and its `known`",
        )
    distinct = found.classes or np.unique(found.y)
    if found.task == "binary" and len(distinct) > 2:
        raise ModelError("a binary target must have two values", got=f"{len(distinct)}", hint='task="multiclass"')
    if len(distinct) < 2:
        kind = "has only one class" if found.task in CLASSES else "is constant"
        raise ModelError(
            f"the target {kind}",
            got=f"{distinct[0]} in all {len(found.y)} labelled rows",
            hint="check the target expression, and the source of the other class",
        )
