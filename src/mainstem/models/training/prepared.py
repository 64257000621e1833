"""A dataset prepared for learning: labels, splits and inputs of the rows with a known target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError, UnknownName
from mainstem.features.instants import ALWAYS
from mainstem.models import splits
from mainstem.models.data.ahead import Ahead
from mainstem.models.data.columns import rows_of, split_inputs
from mainstem.models.data.labels import Labels, infer, labels, labels_of
from mainstem.models.data.quantiles import label_of
from mainstem.models.data.rows import Examples
from mainstem.models.data.two import check_binary
from mainstem.models.training import queries, suspects
from mainstem.models.training.beyond import Stored
from mainstem.models.training.parts import Parts, parts_of
from mainstem.nodes.durations import microseconds
from mainstem.nodes.engineering import Selection
from mainstem.nodes.hidden import GROUP, LABELLED, MATURE, PART, QUERY, SPLIT, TARGET, WEIGHT, T
from mainstem.nodes.models import Model, Task
from mainstem.nodes.records import InputColumn

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Prepared:
    """`table` is the dataset with `_split`. `examples` are its labelled rows as numbers, and `parts` says which of them
    a version is measured on. `classes` names the scores, if there are several: classes or quantiles. `beyond` are the
    rows that an engine fits on, if it does. `window` is how far back fits learn, if that is declared."""

    table: pa.Table
    examples: Examples
    parts: Parts
    classes: tuple[str, ...]
    rows: dict[str, int]
    beyond: Stored | None = None
    window: str | None = None

    @cached_property
    def train(self) -> Examples:
        """The rows that the measured version learns from; all rows of a cross-validation."""
        if self.parts.holdout is None:
            return self.examples
        found = self.examples.take(self.parts.holdout.train)
        return found if self.beyond is None else replace(found, beyond=self.beyond.of("train"))

    @cached_property
    def history(self) -> Examples:
        """The rows that candidates are compared on: the training, and older rows, of which folds take windows too."""
        holdout = self.parts.holdout
        if holdout is None or not len(holdout.older):
            return self.train
        return self.examples.take(np.union1d(holdout.older, holdout.train))

    @cached_property
    def learned(self) -> Examples:
        """The rows that the version is fitted on when it has been measured: all but those that `split` leaves out; with
        a window, the latest."""
        if self.window is not None:
            times = self.examples.times
            return self.examples.take(np.flatnonzero(times >= times.max() - microseconds(self.window)))
        if not self.parts.given:
            return self.examples if self.beyond is None else replace(self.examples, beyond=self.beyond)
        kept = np.ones(len(self.examples), bool)
        kept[self.parts.left] = False
        beyond = None if self.beyond is None else self.beyond.of("train", "test")
        return replace(self.examples.take(np.flatnonzero(kept)), validation=None, beyond=beyond)

    @cached_property
    def ungrouped(self) -> int:
        """How many labelled rows have no group, though `groups` is declared. Each is a group of its own."""
        if GROUP not in self.table.column_names:
            return 0
        without = np.asarray(self.table[GROUP].is_null().to_numpy(), bool)
        parts = np.asarray(self.table[SPLIT].to_pylist(), object)
        return int((without & (parts != "unlabelled") & (parts != IMMATURE)).sum())

    @cached_property
    def test(self) -> Examples:
        """The rows that it is measured on."""
        tested = self.parts.tested
        return self.examples if len(tested) == len(self.examples) else self.examples.take(tested)


def task_of(model: Model, dataset: ibis.Table) -> Task:
    """Return the declared task, or the task of the target's type."""
    return model.task or infer(dataset[TARGET].type())


def prepare(
    model: Model, task: Task, table: pa.Table, inputs: Sequence[InputColumn], key: Sequence[str] = ()
) -> Prepared:
    """Return labels, split and matrix of a fetched dataset whose examples have the columns `key`.

    Raises `ModelError` if the rows are not sufficient for training, `LeakError` for an input that predicts too well.
    """
    times, found, parts = _parted(model, task, table, key, enough=True)
    known = np.flatnonzero(found.known)
    examples = Examples(
        rows_of(table.select([c.name for c in inputs]).filter(_mask(found.known)), inputs),
        found.y,
        times[known],
        task,
        len(found.classes) if task == "multiclass" else len(model.quantiles),
        model.seed,
        parts.groups,
        parts.validation,
        _weights(model, table, known),
        names=(names := tuple(name for block in split_inputs(inputs) for name in block)),
        monotone=tuple(model.monotone.get(name, 0) for name in names) if model.monotone else (),
        prepare=tuple(map(model.prepare.get, names)) if model.prepare else (),
        engineer=model.engineer or (),
        select=model.select if isinstance(model.select, Selection) else None,
        quantiles=model.quantiles,
        sampling=model.sampling,
        class_weights=_class_weights(model, found.classes),
        queries=None if model.query is None else _queries(model, table)[known],
        ahead=Ahead.of(table.take(known)) if model.horizons else None,
        gap=microseconds(model.gap),
        known=parts.known,
        units=parts.units,
    )
    _no_input_is_the_target(examples, found, inputs)
    named = parts.named(len(table), known)
    named[_immature(table)] = IMMATURE
    rows = {"examples": len(table), **_counted(named)}
    rows |= {IMMATURE: int((named == IMMATURE).sum())} if MATURE in table.column_names else {}
    classes = tuple(map(label_of, model.quantiles)) if model.quantiles else found.classes
    prepared = Prepared(_with_split(table, named), examples, parts, classes, rows, window=model.window)
    _both_classes(prepared.train, found.classes)
    _several_classes(prepared.test, found.classes)
    if not model.horizons:  # the past of a series may predict it almost perfectly, and views cannot see its future
        suspects.refuse(prepared.train, inputs, model.assume_known)
    return prepared


def split_of(model: Model, task: Task, table: pa.Table, key: Sequence[str] = ()) -> pa.Array:
    """Return the split of each row of a fetched dataset, even if there are too few rows for training."""
    import pyarrow as pa

    _, found, parts = _parted(model, task, table, key, enough=False)
    named = parts.named(len(table), np.flatnonzero(found.known))
    named[_immature(table)] = IMMATURE
    return pa.array(named, pa.string())


def _parted(
    model: Model, task: Task, table: pa.Table, key: Sequence[str], *, enough: bool
) -> tuple[NDArray[np.int64], Labels, Parts]:
    """Return the time of each row, the labels, and the parts of the labelled rows.

    If `enough`, raises `ModelError` if the rows are not sufficient for training.
    """
    times, timed = _times(model, table)
    asked = _queries(model, table)
    unlabelled = ~timed | _immature(table) | (asked == NO_QUERY)
    target = _nulled(table, unlabelled)
    if task == "binary":
        check_binary(target, model.target)
    found = (labels if enough else labels_of)(target, task)
    own = times[found.known]
    if model.query is not None:
        own = queries.latest_of(own, asked[found.known])
        times = times.copy()
        times[found.known] = own
    # Keys that repeat are groups of tables without time; by time, a later row of a key is a later example.
    grouped = [GROUP] if model.groups is not None else [] if splits.is_timed(own) else list(key)
    groups = _groups(table.select(grouped)) if model.query is None or model.groups is not None else asked
    if model.groups is not None and groups is not None:
        groups = _alone(groups, table[GROUP])
    if model.query is not None and groups is not None:
        queries.whole(groups[found.known], asked[found.known], "groups")
    given = None if model.split is None else table[PART].filter(_mask(found.known)).to_pylist()
    labelled = _labelled_at(table)
    if labelled is not None:
        labelled = labelled[found.known]
        labelled = labelled if model.query is None else queries.latest_of(labelled, asked[found.known])
    own_groups = None if groups is None else groups[found.known]
    parts = parts_of(model, own, found.y, groups=own_groups, given=given, enough=enough, known=labelled)
    if model.groups is not None and model.split is not None:
        _groups_whole(parts.named(len(table), np.flatnonzero(found.known)), parts, table, found.known)
    if model.query is not None and model.split is not None:
        numbers = np.unique(parts.named(len(table), np.flatnonzero(found.known)).astype(str), return_inverse=True)[1]
        queries.whole(numbers[found.known], asked[found.known], "split")
    return times, found, parts


NO_QUERY = -1
"""The number of a row without a query. It is unlabelled: nothing is ranked with it."""


def _queries(model: Model, table: pa.Table) -> NDArray[np.int64]:
    """Return the number of each row's query; of other tasks, 0."""
    if model.query is None:
        return np.zeros(len(table), np.int64)
    codes = table[QUERY].combine_chunks().dictionary_encode().indices.fill_null(NO_QUERY)
    return np.asarray(codes.to_numpy(zero_copy_only=False), np.int64)


def _weights(model: Model, table: pa.Table, known: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """Return the weights of the labelled rows, of mean 1. Raises `ModelError` for a weight that is not one."""
    import pyarrow as pa

    if model.weight is None:
        return None
    found = np.asarray(table[WEIGHT].cast(pa.float64(), safe=False).to_numpy(), float)[known]
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any() or not found.any():
        raise ModelError(
            "`weight` must be a number of at least 0 in each labelled row, and above 0 in some",
            got=f"{int(wrong.sum()):,} of {len(found):,} rows are null, negative or infinite",
            hint="weight=_.amount.fill_null(0)" if wrong.any() else None,
        )
    return np.asarray(found / found.mean())


def _class_weights(model: Model, classes: tuple[str, ...]) -> tuple[float, ...]:
    """Return the declared weight of each class; 1 for one that is not named. Raises `UnknownName`."""
    named = model.sampling.named
    if model.task != "multiclass" and len(classes) == 2 and set(classes) <= {"0", "1", "true", "false"}:
        same = {"false": classes[0], "0": classes[0], "true": classes[1], "1": classes[1]}
        named = {same.get(name, name): weight for name, weight in named.items()}
    for name in named:
        if name not in classes:
            raise UnknownName.among("class", name, classes, of="`class_weight`")
    return tuple(named.get(each, 1.0) for each in classes) if named else ()


def _counted(named: NDArray[np.object_]) -> dict[str, int]:
    found = {kind: int((named == kind).sum()) for kind in KINDS}
    crossed = int(np.char.startswith(named.astype(str), splits.FOLD).sum())
    others = {"cross-validated": crossed, OLDER: int((named == OLDER).sum())}
    return found | {kind: count for kind, count in others.items() if count}


IMMATURE = "immature"
"""The `_split` of a row whose outcome may still come. A true one is left out too: the false ones of its days lack."""

OLDER = "older"
"""The `_split` of a row that is further back than the `window` of the training."""

KINDS = ("train", "gap", "test", "unlabelled")
"""The values of `_split` beside folds. Rows in the gap are labelled, but belong to neither side."""


def _mask(rows: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    return pa.array(rows)


def _groups(keys: pa.Table) -> NDArray[np.int64] | None:
    """Return a number for each row, equal for rows with equal key columns; None without a key."""
    if not keys.num_columns:
        return None
    numbers = np.zeros(len(keys), np.int64)
    for column in keys.columns:
        codes = column.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
        numbers = np.unique(numbers * (len(keys) + 1) + codes + 1, return_inverse=True)[1].astype(np.int64)
    return numbers


def _alone(groups: NDArray[np.int64], values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the groups with a group of its own for each row whose value is null: nothing says that they belong
    together."""
    without = np.asarray(values.is_null().to_numpy(), bool)
    return np.where(without, int(groups.max(initial=0)) + 1 + np.arange(len(groups)), groups)


def _groups_whole(named: NDArray[np.object_], parts: Parts, table: pa.Table, known: NDArray[np.bool_]) -> None:
    """Refuse a group whose rows `split` puts in several parts. Raises `ModelError`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if parts.validation is not None:
        rows = np.flatnonzero(known)[parts.validation]
        named = named.copy()
        named[rows] = "validation"
    inside = known & (named != "gap")
    pairs = pa.table({"group": table[GROUP], "part": pa.array(named, pa.string())}).filter(pa.array(inside))
    counted = pairs.filter(pc.is_valid(pairs["group"])).group_by("group", use_threads=False)
    found = counted.aggregate([("part", "distinct")])
    several = found.filter(pc.greater(pc.list_value_length(found["part_distinct"]), 1))
    if len(several):
        first = several.slice(0, 1).to_pylist()[0]
        raise ModelError(
            "rows of one group are in several parts of `split`",
            got=f"{len(several):,} of {len(found):,} groups, such as {first['group']!r}: "
            f"{', '.join(sorted(first['part_distinct']))}",
            expected="a `split` that is the same for all rows of a group",
            hint="leave out `groups` or `split`: with `groups` alone, Mainstem divides whole groups",
        )


def _times(model: Model, table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the prediction time of each row in microseconds, and whether it has one.

    Without `prediction_time`, every row has the time 0.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[T].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    timed = np.asarray(pc.is_valid(column).to_numpy()) | (model.prediction_time is None)
    return np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64), timed


def _labelled_at(table: pa.Table) -> NDArray[np.int64] | None:
    """Return when the label of each row was known (µs), if the rows tell; before every instant where they do not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if LABELLED not in table.column_names:
        return None
    column = table[LABELLED].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return np.asarray(pc.fill_null(column, ALWAYS).to_numpy(), np.int64)


def _immature(table: pa.Table) -> NDArray[np.bool_]:
    """Return which rows are too young for a label."""
    if MATURE not in table.column_names:
        return np.zeros(len(table), bool)
    return ~np.asarray(table[MATURE].fill_null(False).to_numpy(), bool)


def _nulled(table: pa.Table, rows: NDArray[np.bool_]) -> pa.ChunkedArray:
    """Return the target with null for `rows`: those without a prediction time, or too young for a label."""
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
