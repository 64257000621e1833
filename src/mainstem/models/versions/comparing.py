"""Compare two versions on rows that neither has seen: by the artifacts that they were measured with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import ibis
import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.graph.named import named
from mainstem.models.artifact.manifest import EARLIER, MODEL, Manifest, read
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.columns import lacking, rows_of
from mainstem.models.data.quantiles import level_of, packed
from mainstem.models.evaluation.comparison import days
from mainstem.models.metrics import Metric, difference, measure, of_version
from mainstem.models.splits import FOLD
from mainstem.models.versions.report import interval, spoken
from mainstem.nodes.durations import microseconds
from mainstem.nodes.hidden import GROUP, QUERY, SPLIT, TARGET, T
from mainstem.nodes.models import CLASSES, Task
from mainstem.nodes.records import Measure, ModelVersion
from mainstem.ports import Artifacts, Relation, Session

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_ROWS = 100
FEWEST_UNTIMED = 50
"""Rows below which there is no verdict. Rows by time come in days that are alike, so more are needed."""

THEN = "_then"
"""In the rows compared: their split in the champion's dataset; and, before a name, its column there."""

OTHER_TARGETS = 0.1
"""The share of rows with another target beyond which two models are said to predict different targets."""


@dataclass(frozen=True)
class Evidence:
    """Two versions on rows that neither was trained on. `gain` is positive if the challenger is better."""

    metric: str
    champion: Measure
    challenger: Measure
    gain: Measure

    @property
    def suffices(self) -> bool:
        """Whether the whole interval of the gain is above 0."""
        return self.gain.low > 0

    def __str__(self) -> str:
        values = (interval(each).split(" (")[0] for each in (self.champion, self.challenger))
        return f"{spoken(self.metric)} {' → '.join(values)}, gain {interval(self.gain)} on {self.gain.rows:,} rows"


def compare(
    opened: Session,
    root: Artifacts,
    champion: ModelVersion,
    challenger: ModelVersion,
    before: Relation | None = None,
    key: Sequence[str] = (),
) -> Evidence:
    """Compare the two on rows that the artifacts that measured them have not seen.

    By time, these are the challenger's test rows that are later than all rows of the champion's earlier fit. Otherwise
    they are the rows that were tested or absent in the champion's dataset (`before`, joined by the `key`), and that
    measured the challenger; each is scored by the fold that did not learn it. If the challenger's dataset lacks an
    input of the champion, or is of another model, they are the rows that measured both, each scored with the inputs
    that its version had. The session sees `dataset.MODEL` as of the challenger. Raises `ModelError` without such rows,
    and for versions that predict different targets.
    """
    _comparable(champion, challenger)
    judge = _judge(challenger)
    sides = [(version, read(root / version.artifact)) for version in (champion, challenger)]
    until = [_seen_until(version, manifest) for version, manifest in sides]
    own = _lacking(opened, champion, challenger)
    if own and before is not None and key:
        rows, fewest = _measured_both(opened, champion, challenger, before, key), FEWEST_UNTIMED
    elif until[0] is not None and until[1] is not None:
        rows, fewest = opened.fetch(_later(opened, champion, challenger, until[0])), FEWEST_ROWS
    else:
        rows, fewest = opened.fetch(_unseen(opened, champion, challenger, before, key)), FEWEST_UNTIMED
    if len(rows) < fewest:
        raise ModelError(
            "too few rows that neither version was trained on",
            got=f"{len(rows)}",
            expected=f"at least {fewest}",
            hint="decide yourself: mainstem promote",
        )
    y, groups = _labels(rows, challenger), _groups(rows)
    theirs, ours = (
        _scores(root, version, manifest, rows, column)
        for (version, manifest), column in zip(sides, (THEN, SPLIT), strict=True)
    )
    return Evidence(
        judge.name,
        measure(judge, y, theirs, groups=groups),
        measure(judge, y, ours, groups=groups),
        difference(judge, y, ours, theirs, groups=groups),
    )


def _comparable(champion: ModelVersion, challenger: ModelVersion) -> None:
    if (champion.task, champion.classes) != (challenger.task, challenger.classes):
        raise ModelError(
            "the versions predict different targets",
            got=f"{challenger.task} {', '.join(challenger.classes)}",
            expected=f"{champion.task} {', '.join(champion.classes)}",
        )


def _judge(version: ModelVersion) -> Metric:
    judge = of_version(version.metric, cast(Task, version.task))
    if judge is None:
        raise ModelError(
            f"the project no longer has the metric {version.metric!r} of {version.id}",
            hint="mainstem run trains a version with the metric of today; or decide yourself: mainstem promote",
        )
    return judge


def _seen_until(version: ModelVersion, manifest: Manifest) -> datetime | None:
    """Return the time of the last row that the measured artifact has seen; None without time. Of a forecast, it has
    seen labels of rows that are later by the longest horizon."""
    until = version.measured_until if manifest.earlier else version.trained_until
    ahead = max(map(microseconds, manifest.horizons), default=0)
    return None if until is None else until + timedelta(microseconds=ahead)


def _later(opened: Session, champion: ModelVersion, challenger: ModelVersion, until: datetime) -> ibis.Table:
    dataset = _dataset(opened, champion, challenger)
    rows = dataset.filter(dataset[SPLIT] == "test", dataset[T] > ibis.literal(until))
    return rows.select(*_needed(dataset, champion, challenger), **{THEN: rows[SPLIT]})


def _unseen(
    opened: Session, champion: ModelVersion, challenger: ModelVersion, before: Relation | None, key: Sequence[str]
) -> ibis.Table:
    if before is None or not key:
        raise ModelError(
            "no rows can be told apart that neither version was trained on",
            got="examples without a key" if not key else f"the dataset of {champion.id} no longer exists",
            hint="key= of the examples; or decide yourself: mainstem promote",
        )
    dataset = _dataset(opened, champion, challenger)
    tested, then = _tested(dataset), _then(opened, before)
    then = then.select(*named({f"_key_{name}": then[name] for name in key}), *named({THEN: then[SPLIT]}))
    joined = tested.left_join(then, [tested[name] == then[f"_key_{name}"] for name in key])
    rows = joined.filter(joined[THEN].isnull() | ~joined[THEN].startswith("train"))
    ordered = rows.order_by([rows[name] for name in key])
    return ordered.select(*_needed(dataset, champion, challenger), THEN)


def _measured_both(
    opened: Session, champion: ModelVersion, challenger: ModelVersion, before: Relation, key: Sequence[str]
) -> pa.Table:
    """Return the rows that measured both, with the champion's inputs as they were in its dataset. Raises `ModelError`
    if that dataset has no such key, and for other targets."""
    then = _tested(_then(opened, before))
    if unknown := [name for name in key if name not in then.columns]:
        got = f"that of {champion.model} has no {', '.join(unknown)}"
        raise ModelError("the datasets have no key in common", got=got)
    inputs = [column.name for column in champion.inputs]
    columns = {f"_key_{name}": then[name] for name in key} | {THEN + name: then[name] for name in (*inputs, TARGET)}
    then = then.select(*named({**columns, THEN: then[SPLIT]}))
    dataset = _tested(_whole(opened, challenger))
    joined = dataset.inner_join(then, [dataset[name] == then[f"_key_{name}"] for name in key])
    own = [*(column.name for column in challenger.inputs), *_beside(dataset)]
    ordered = joined.order_by([joined[name] for name in key])
    rows = opened.fetch(ordered.select(*dict.fromkeys(own), *columns, THEN))
    _same_targets(rows[TARGET], rows[THEN + TARGET])
    return rows


def _same_targets(ours: Any, theirs: Any) -> None:
    pairs = list(zip(ours.to_pylist(), theirs.to_pylist(), strict=True))
    other = sum(one != two and (one == one or two == two) for one, two in pairs)
    if other > OTHER_TARGETS * len(pairs):
        raise ModelError(
            "the versions predict different targets",
            got=f"{other:,} of the {len(pairs):,} rows that measured both have another target",
        )


def _tested(dataset: ibis.Table) -> ibis.Table:
    return dataset.filter((dataset[SPLIT] == "test") | dataset[SPLIT].startswith(FOLD))


def _then(opened: Session, before: Relation) -> ibis.Table:
    opened.add(THEN, before)
    return ibis.table(opened.schema(f'SELECT * FROM "{THEN}"'), name=THEN)


def _whole(opened: Session, version: ModelVersion) -> ibis.Table:
    name = f"dataset.{version.model}"
    return ibis.table(opened.schema(f'SELECT * FROM "{name}"'), name=name)


def _lacking(opened: Session, champion: ModelVersion, challenger: ModelVersion) -> list[str]:
    """Return the inputs of the champion that the challenger's dataset does not have; all if it is of another model."""
    schema = _whole(opened, challenger).schema() if champion.model == challenger.model else {}
    return lacking(champion.inputs, {name: str(kind) for name, kind in schema.items()})


def _dataset(opened: Session, champion: ModelVersion, challenger: ModelVersion) -> ibis.Table:
    missing = _lacking(opened, champion, challenger)
    if missing:
        raise ModelError(
            "the challenger's dataset lacks columns of the champion",
            got=", ".join(missing),
            where=f"dataset.{challenger.model}",
        )
    return _whole(opened, challenger)


def _needed(dataset: ibis.Table, *versions: ModelVersion) -> Sequence[str]:
    inputs = [column.name for version in versions for column in version.inputs]
    return list(dict.fromkeys([*inputs, *_beside(dataset)]))


def _beside(dataset: ibis.Table) -> Sequence[str]:
    """Return the columns of a dataset that say how its rows are judged."""
    return [T, TARGET, SPLIT, *sorted({GROUP, QUERY} & set(dataset.columns))]


def _scores(
    root: Artifacts, version: ModelVersion, manifest: Manifest, rows: pa.Table, column: str
) -> NDArray[np.float64]:
    """Score each row by the artifact that has not seen it, given its split in the version's dataset."""
    files = np.array([_file(manifest, part) for part in rows[column].to_pylist()])
    renamed = column == THEN and all(THEN + each.name in rows.column_names for each in version.inputs)
    inputs = rows_of(_renamed(rows, version) if renamed else rows, version.inputs)
    found: NDArray[np.float64] | None = None
    for file in np.unique(files):
        some = np.flatnonzero(files == file)
        scores = Scorer.load(root / version.artifact, str(file)).score_rows(inputs.take(some))
        found = np.empty((len(files), *scores.shape[1:])) if found is None else found
        found[some] = scores
    assert found is not None
    return found


def _renamed(rows: pa.Table, version: ModelVersion) -> pa.Table:
    """Return the inputs that a version had in its own dataset."""
    names = [column.name for column in version.inputs]
    return rows.select([THEN + name for name in names]).rename_columns(names)


def _file(manifest: Manifest, part: str | None) -> str:
    """Return the artifact for a row: of its fold, or the earlier fit. A row that a cross-validated version did not have
    is new to its last fit too."""
    if part is not None and part.startswith(FOLD):
        return f"fold-{part.removeprefix(FOLD)}.onnx"
    return EARLIER[0] if EARLIER[0] in manifest.earlier else MODEL


def _groups(rows: pa.Table) -> Any:
    times = np.asarray(rows[T].cast("int64").fill_null(0).to_numpy())
    if QUERY in rows.column_names and GROUP not in rows.column_names:
        return _codes(rows[QUERY])
    if GROUP in rows.column_names:
        return days(times) if days(times) is not None else _codes(rows[GROUP])
    return days(times)


def _codes(column: Any) -> NDArray[Any]:
    """Return the numbers of the groups of a column. A row without a value is a group of its own."""
    found = column.combine_chunks().dictionary_encode().indices.fill_null(-1)
    codes = np.asarray(found.to_numpy(zero_copy_only=False))
    return np.where(codes < 0, len(codes) + np.arange(len(codes)), codes)


def _labels(rows: pa.Table, version: ModelVersion) -> NDArray[np.float64]:
    """Return what metrics compare scores with: values, or the class numbers of `version`."""
    import pyarrow as pa

    task: Task = version.task  # type: ignore[assignment]
    if task not in CLASSES:
        target = rows[TARGET]
        target = target.cast(pa.int8()) if pa.types.is_boolean(target.type) else target
        values = np.asarray(target.cast(pa.float64(), safe=False).to_numpy(), float)
        if task == "ranking":
            return np.column_stack([values, _codes(rows[QUERY])])
        return packed(values, [level_of(name) for name in version.classes]) if task == "quantile" else values
    number = {name: index for index, name in enumerate(version.classes)}
    return np.array([number[name] for name in rows[TARGET].cast(pa.string()).to_pylist()], float)
