"""A dataset prepared for learning: labels, splits and inputs of the rows with a known target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models import splits
from mainstem.models.data.columns import rows_of, split_inputs
from mainstem.models.data.labels import Labels, infer, labels, labels_of
from mainstem.models.data.rows import Examples
from mainstem.models.training import suspects
from mainstem.nodes.hidden import SPLIT, TARGET, T
from mainstem.nodes.models import Model, Task
from mainstem.nodes.records import InputColumn

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Prepared:
    """`table` is the dataset with `_split`. `train` and `test` are its labelled rows outside the gap, as numbers."""

    table: pa.Table
    train: Examples
    test: Examples
    classes: tuple[str, ...]
    rows: dict[str, int]
    cut: int | None


def task_of(model: Model, dataset: ibis.Table) -> Task:
    """Return the declared task, or the task of the target's type."""
    return model.task or infer(dataset[TARGET].type())


def prepare(
    model: Model, task: Task, table: pa.Table, inputs: Sequence[InputColumn], key: Sequence[str] = ()
) -> Prepared:
    """Return labels, split and matrix of a fetched dataset whose examples have the columns `key`.

    Raises `ModelError` if the rows are not sufficient for training, `LeakError` for an input that predicts too well.
    """
    groups = _groups(table.select(list(key)))
    times, found, parts = _parted(model, task, table, groups, enough=True)
    known = np.flatnonzero(found.known)
    examples = Examples(
        rows_of(table.select([c.name for c in inputs]).take(known), inputs),
        found.y,
        times[known],
        task,
        len(found.classes) if task == "multiclass" else 0,
        model.seed,
        None if groups is None else groups[known],
    )
    _no_input_is_the_target(examples, found, inputs)
    train, test = examples.take(parts.train), examples.take(parts.test)
    _both_classes(train, found.classes)
    _several_classes(test, found.classes)
    suspects.refuse(train, inputs, model.assume_known)
    named = _named(len(table), known, parts)
    rows = {"examples": len(table), **{kind: int((named == kind).sum()) for kind in KINDS}}
    return Prepared(_with_split(table, named), train, test, found.classes, rows, parts.cut)


def split_of(model: Model, task: Task, table: pa.Table, key: Sequence[str] = ()) -> pa.Array:
    """Return the split of each row of a fetched dataset, even if there are too few rows for training."""
    import pyarrow as pa

    _, found, parts = _parted(model, task, table, _groups(table.select(list(key))), enough=False)
    return pa.array(_named(len(table), np.flatnonzero(found.known), parts), pa.string())


def _parted(
    model: Model, task: Task, table: pa.Table, groups: NDArray[np.int64] | None, *, enough: bool
) -> tuple[NDArray[np.int64], Labels, splits.Split]:
    """Return the time of each row, the labels, and the split of the labelled rows.

    If `enough`, raises `ModelError` if the rows are not sufficient for training.
    """
    label, split = (labels, splits.split) if enough else (labels_of, splits.parted)
    times, timed = _times(table)
    found = label(_nulled(table, ~timed), task)
    own = None if groups is None else groups[found.known]
    parts = split(times[found.known], found.y, test=model.test, gap=model.gap, seed=model.seed, groups=own)
    return times, found, parts


KINDS = ("train", "gap", "test", "unlabelled")
"""The values of `_split`. Rows in the gap are labelled, but belong to neither side."""


def _named(rows: int, known: NDArray[np.intp], parts: splits.Split) -> NDArray[np.object_]:
    named = np.full(rows, "unlabelled", object)
    for kind, members in (("train", parts.train), ("gap", parts.gap), ("test", parts.test)):
        named[known[members]] = kind
    return named


def _groups(keys: pa.Table) -> NDArray[np.int64] | None:
    """Return a number for each row, equal for rows with equal key columns; None without a key."""
    if not keys.num_columns:
        return None
    numbers = np.zeros(len(keys), np.int64)
    for column in keys.columns:
        codes = column.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        numbers = np.unique(numbers * (len(keys) + 1) + codes + 1, return_inverse=True)[1].astype(np.int64)
    return numbers


def _times(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the prediction time of each row in microseconds, and whether it has one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[T].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64), np.asarray(pc.is_valid(column).to_numpy())


def _nulled(table: pa.Table, rows: NDArray[np.bool_]) -> pa.ChunkedArray:
    """Return the target with null for `rows`: a row without a prediction time is not an example."""
    import pyarrow as pa
    import pyarrow.compute as pc

    target = table[TARGET]
    return pc.if_else(pa.array(rows), pa.scalar(None, target.type), target) if rows.any() else target


def _with_split(table: pa.Table, named: NDArray[np.object_]) -> pa.Table:
    import pyarrow as pa

    return table.append_column(SPLIT, pa.array(named, pa.string()))


def _both_classes(train: Examples, classes: tuple[str, ...]) -> None:
    distinct = np.unique(train.y)
    if len(distinct) < 2:
        value = classes[int(distinct[0])] if classes else distinct[0]
        kind = "has only one class" if classes else "is constant"
        raise ModelError(
            f"the target {kind} before the test begins",
            got=f"{value} in all {len(train)} training rows",
            hint="a smaller `test`, or more examples",
        )


def _several_classes(test: Examples, classes: tuple[str, ...]) -> None:
    """Refuse test rows of one class: on them every ranking is perfect."""
    if classes and len(test) and len(distinct := np.unique(test.y)) < 2:
        raise ModelError(
            "the test rows have only one class, so no metric tells how good a model is",
            got=f"{classes[int(distinct[0])]} in all {len(test)} test rows",
            expected="test rows of several classes",
            hint="a larger `test`, so that every class is in it",
        )


def _no_input_is_the_target(examples: Examples, found: Labels, inputs: Sequence[InputColumn]) -> None:
    floats, strings = split_inputs(inputs)
    y = found.y.astype(np.float32)
    same = [name for j, name in enumerate(floats) if np.array_equal(examples.rows.floats[:, j], y)]
    if found.task == "multiclass":
        texts = np.array(found.classes, object)[found.y]
        same += [name for j, name in enumerate(strings) if np.array_equal(examples.rows.strings[:, j], texts)]
    if same:
        raise ModelError(
            f"the input {same[0]!r} is the target itself",
            got=f"the same value in all {len(y)} labelled rows",
            expected="inputs that are known before the outcome",
            hint="leave it out of features=[…]",
        )
