"""Explain predictions: the contributions of the inputs to a score, beside rows that the version learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np

from mainstem.errors import NotFound
from mainstem.models.data.columns import rows_of, split_inputs
from mainstem.models.data.rows import Rows
from mainstem.models.evaluation.shapley import background_rows, shapley
from mainstem.nodes.erasures import Replaced
from mainstem.nodes.explanations import Contribution, Explanation
from mainstem.nodes.hidden import TARGET
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import ModelVersion, Release
from mainstem.project.branch import Branch
from mainstem.project.live import predictor_of
from mainstem.statistics.sampling import SEED

if TYPE_CHECKING:
    from mainstem.models.artifact.scorer import Scorer

READ = 200_000
"""The rows of a dataset up to which all are read, to draw background rows among them."""


def explain(
    branch: Branch, name: str, rows: Sequence[Mapping[str, Any]], time: datetime | None = None
) -> list[Explanation]:
    """Return an explanation for each row. Raises `RequestError`, and `NotFound` if the version's rows are gone."""
    predictor = predictor_of(branch, name)
    answers = predictor.predict([dict(row) for row in rows], None if time is None else micros_of(time))
    version, scorer = predictor.version, predictor.scorer
    background = _background(branch, version)
    columns = {column.name: [answer.row[column.name] for answer in answers] for column in version.inputs}
    matrix = scorer.matrix(columns)
    return [
        _explained(version, scorer, matrix.take(np.array([i])), background, {n: v[i] for n, v in columns.items()})
        for i in range(len(answers))
    ]


def _explained(
    version: ModelVersion, scorer: Scorer, row: Rows, background: Rows, values: Mapping[str, Any]
) -> Explanation:
    found = shapley(scorer.score_rows, row, background)
    (score,) = scorer.score_rows(row)
    base, effects, errors, label = found.base, found.effects, found.errors, None
    if np.ndim(score):
        best = scorer.best(score)
        label = scorer.classes[best]
        score, base, effects, errors = score[best], base[best], effects[:, best], errors[:, best]
    floats, strings = split_inputs(version.inputs)
    sources = {column.name: column.sources for column in version.inputs}
    each = [
        Contribution(name, values[name], float(effects[i]), float(errors[i]), sources[name])
        for i, name in enumerate((*floats, *strings))
    ]
    each.sort(key=lambda contribution: -abs(contribution.effect))
    return Explanation(version.id, float(score), float(base), tuple(each), len(background), label)


def _background(branch: Branch, version: ModelVersion) -> Rows:
    """Return rows of the version's dataset, which is pinned as long as the version: drawn with a fixed seed."""
    name = f"dataset.{version.model}"
    wanted = version.snapshots.get(name)
    erased = branch.adapters.state.get(Replaced, str(wanted))
    snapshots = [r.tables[name] for r in reversed(branch.adapters.state.find(Release)) if name in r.tables]
    snapshot = next((each for each in snapshots if each.id == wanted), None)
    if erased is not None and erased.relation == name:
        snapshot = erased.instead
    if snapshot is None:
        raise NotFound(
            f"the rows that {version.id} was trained on are gone",
            expected=f"snapshot {wanted} of {name}",
            hint="mainstem run, to train a new version",
        )
    adapters = branch.adapters
    stored = ibis.table({field.name: field.type for field in snapshot.fields}, name=name)
    asked = stored.filter(stored[TARGET].notnull()).select([column.name for column in version.inputs])
    if snapshot.rows > READ:
        asked = asked.sample(READ / snapshot.rows, method="row", seed=SEED)
    with adapters.engine.session({name: adapters.lake.scan(snapshot)}) as session:
        some = session.fetch(asked)
    random = np.random.default_rng(SEED)
    drawn = np.sort(random.permutation(len(some))[: background_rows(len(version.inputs))])
    return rows_of(some, version.inputs).take(drawn)
