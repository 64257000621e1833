"""Which predictions a monitor has judged: a stored relation of their ids, beside each endpoint's log.

An outcome may come long after those of later predictions. Ids, not a time up to which all is judged, let a monitor
judge each prediction once, whenever its outcome comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mainstem.monitoring.partition import Batch, Watched
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.hidden import PREDICTION
from mainstem.nodes.instants import micros_of
from mainstem.ports import Append, Snapshot

if TYPE_CHECKING:
    import ibis

Mask = NDArray[np.bool_]


def judged(watched: Watched, batch: Batch, monitor: str) -> Mask:
    """Return which rows of `batch` the monitor has judged on this branch."""
    import pyarrow.compute as pc

    relation = _relation(watched, monitor)
    if relation not in watched.context.release.tables:
        return _before_ids_were_kept(watched, batch, monitor)
    with watched.context.session([relation]) as session:
        ids = session.fetch(_table(relation))[PREDICTION]
    found: Mask = pc.is_in(batch.table[PREDICTION], value_set=ids.combine_chunks()).to_numpy(zero_copy_only=False)
    return found.astype(bool)


def keep(watched: Watched, batch: Batch, monitor: str, new: Mask) -> Mapping[str, Snapshot]:
    """Commit the ids of the rows of `batch` that the monitor judges `new` in this run."""
    import pyarrow as pa

    context, relation = watched.context, _relation(watched, monitor)
    base = context.release.tables.get(relation)
    rows = new if base is not None else new | _before_ids_were_kept(watched, batch, monitor)
    if not rows.any():
        return {}
    target = context.lake.target(relation, {PREDICTION: "string"})
    with context.engine.session({}) as session:
        session.add("judged", pa.table({PREDICTION: batch.table[PREDICTION].filter(pa.array(rows))}))
        files = session.write(_table("judged"), target)
    return {relation: context.lake.commit(relation, target, files, base=base, run=context.run, change=Append())}


def _relation(watched: Watched, monitor: str) -> str:
    return f"judged.{watched.name}.{monitor}"


def _table(name: str) -> ibis.Table:
    import ibis

    return ibis.table({PREDICTION: "string"}, name=name)


def _before_ids_were_kept(watched: Watched, batch: Batch, monitor: str) -> Mask:
    """Return the rows that verdicts of earlier versions cover, which kept no ids: all predictions up to their last."""
    name, _, metric = monitor.partition(".")
    found = watched.context.records.find(
        Verdict,
        endpoint=watched.name,
        monitor=name,
        branch=watched.context.branch,
        model_version=watched.version.id,
    )
    ends = [micros_of(v.window[1]) for v in found if v.judgement != "not enough rows" and metric in ("", v.metric)]
    return batch.inputs.times <= max(ends, default=-(2**62))
