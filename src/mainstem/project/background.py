"""The rows that the predictions of a version are explained beside."""

from __future__ import annotations

import ibis
import numpy as np

from mainstem.models.data.columns import rows_of
from mainstem.models.data.rows import Rows
from mainstem.models.evaluation.shapley import background_rows
from mainstem.nodes.hidden import TARGET
from mainstem.nodes.records import ModelVersion
from mainstem.project.branch import Branch
from mainstem.project.reproducing import dataset_of
from mainstem.statistics.sampling import SEED

READ = 200_000
"""The rows of a dataset up to which all are read, to draw background rows among them."""


def background(branch: Branch, version: ModelVersion) -> Rows:
    """Return rows of the version's dataset, which is pinned as long as the version: drawn with a fixed seed.

    Raises `NotFound` if they are gone.
    """
    name, snapshot = f"dataset.{version.model}", dataset_of(branch, version)
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
