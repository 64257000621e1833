"""The parts of rows that were not drawn, by the rules that divided the drawn ones, where the engine computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from mainstem.errors import ModelError
from mainstem.models.splits import SPELLINGS, UNDRAWN
from mainstem.models.training.prepared import IMMATURE, Prepared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.hidden import GROUP, LABELLED, MATURE, PART, SPLIT, TARGET, T
from mainstem.nodes.instants import INSTANT, instant_of
from mainstem.nodes.models import CLASSES, Model, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mainstem.ports import Session

_TESTED = "_tested"


def with_parts(
    rows: ibis.Table, model: Model, task: Task, prepared: Prepared, key: Sequence[str], opened: Session
) -> ibis.Table:
    """Return the rows with `_split`: the name of their part, and that they were not drawn.

    A row whose group or key has a drawn test row is not in the training. Raises `ModelError` if rows without a time
    cannot be told apart, and for folds: no fit leaves out the rows of a fold that were not drawn.
    """
    if prepared.parts.holdout is None:
        raise ModelError(
            "xgboost@spark cannot be measured by cross-validation on a dataset that is drawn",
            got=f"{len(prepared.parts.folds)} folds",
            expected="a test that one fit leaves out",
            hint='split= names "train" and "test", or leave it out; test=0.2',
        )
    train, test, rows = _sides(rows, model, prepared, key, opened)
    part = ibis.cases((train, "train"), (test, "test"), else_="gap")
    unlabelled = ~_labelled(rows, model, task, prepared)
    part = ibis.ifelse(unlabelled, "unlabelled", part)
    if MATURE in rows.columns:
        part = ibis.ifelse(rows[MATURE].fill_null(False), part, IMMATURE)
    return rows.mutate(**{SPLIT: part + UNDRAWN}).select(*prepared.table.column_names)


def _sides(
    rows: ibis.Table, model: Model, prepared: Prepared, key: Sequence[str], opened: Session
) -> tuple[Any, Any, ibis.Table]:
    """Return which rows are in the training and in the test, and the rows of these expressions."""
    if prepared.parts.given:
        named = rows[PART].cast("string").strip().lower()
        tested = [name for name, part in SPELLINGS.items() if part == "test"]
        return named.isin([name for name in SPELLINGS if name not in tested]), named.isin(tested), rows
    cut = prepared.parts.cut
    if cut is None:
        rows, tested = _tested(rows, [GROUP] if model.groups is not None else list(key), prepared, opened)
        return ~tested, tested, rows
    rows, held = _tested(rows, [GROUP], prepared, opened) if model.groups is not None else (rows, None)
    before, after = rows[T] < _instant(cut - microseconds(model.gap)), rows[T] >= _instant(cut)
    if LABELLED in rows.columns:
        before &= (rows[LABELLED] < _instant(cut)).fill_null(True)
    return (before, after, rows) if held is None else (before & ~held, after & held, rows)


def _tested(rows: ibis.Table, identity: Sequence[str], prepared: Prepared, opened: Session) -> tuple[ibis.Table, Any]:
    """Return the rows, and which of them have the group or key of a drawn test row. A row without a group is a group of
    its own, so it has none of a drawn row."""
    import pyarrow.compute as pc

    if not identity:
        raise ModelError(
            "xgboost@spark cannot tell which rows are in the test",
            got="examples without a time and a key",
            hint="key= of the examples, groups= or split=",
        )
    tested = prepared.table.filter(pc.equal(prepared.table[SPLIT], "test")).select(list(identity))
    tested = tested.drop_null() if identity == [GROUP] else tested
    names = [f"{_TESTED}_{n}" for n in range(len(identity))]
    distinct = tested.group_by(list(identity)).aggregate([]).select(list(identity)).rename_columns(names)
    distinct = distinct.append_column(_TESTED, pa.array([True] * len(distinct), pa.bool_()))
    opened.add(_TESTED, distinct)
    right = ibis.table(ibis.Schema.from_pyarrow(distinct.schema), name=_TESTED)
    pairs = zip(identity, names, strict=True)
    joined = rows.left_join(right, [rows[own].identical_to(right[other]) for own, other in pairs])
    return joined, joined[_TESTED].fill_null(False)


def _labelled(rows: ibis.Table, model: Model, task: Task, prepared: Prepared) -> Any:
    """Return which rows have a time and a target that can be learned."""
    target = rows[TARGET]
    known = target.notnull()
    if target.type().is_floating():
        known = known & ~target.isnan() & ~target.isinf()
    elif task in CLASSES:
        known = known & target.cast("string").isin(prepared.classes)
    return known & rows[T].notnull() if model.prediction_time is not None else known


def _instant(at: int) -> Any:
    return ibis.literal(instant_of(at), INSTANT)
