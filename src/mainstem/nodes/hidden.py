"""Hidden columns: Mainstem adds them to stored relations. Users see them only on request.

Every name that starts with `_` is hidden. Only this module contains the names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mainstem.nodes.instants import INSTANT

SEQ = "_seq"
"""The order of arrival of rows, for every source that has a `time`. For a stream it is the offset in its log. int64."""

ARRIVED = "_arrived"
"""When an event of a stream was acknowledged. Instant."""

DELETED = "_deleted"
"""Whether a logged change retracts its row, in a stream with `changes=True`. Boolean."""

GONE = "_gone"
"""When a row was retracted, or null; derived from `DELETED` on reading. Instant."""

STREAM = {SEQ: "int64", ARRIVED: INSTANT, DELETED: "boolean"}
"""The types of the columns that a stream adds."""

FILE = "_file"
"""The path of the file that a row came from, for a source of files; relative to the project. String."""

CHECK, RUN, SET_ASIDE_AT = "_check", "_run", "_at"

QUARANTINE = {CHECK: "string", RUN: "string", SET_ASIDE_AT: INSTANT}
"""The columns of `quarantine.TABLE`: the labels of the violated checks, the run, and when the row was set aside."""

ORIGIN, RAW = "_origin", "_raw"
"""In `quarantine.SOURCE`: where a row came from that does not fit the schema, and the row as it came, as JSON."""

RESERVED = (
    "dataset.",
    "judged.",
    "outcomes.",
    "predictions.",
    "quarantine.",
    "shadows.",
    "statistics.",
    "unreadable.",
)
"""Prefixes of the relations that Mainstem stores beside the declared ones. No node may have such a name."""

T = "_t"
"""The time of a prediction, in a dataset and in a prediction log. Instant."""

TARGET, SPLIT, MATURE, LABELLED = "_target", "_split", "_mature", "_labelled"
"""In a dataset: the label; the split: `train`, `gap`, `test`, `unlabelled`, `immature` or `older` than the window,
followed by `, not drawn` of rows that only a fit by Spark learns from; `fold 1`, … if models are measured by
cross-validation; of a target that takes time, whether that time has passed; and when the label was known, if a column
of the examples says so."""

GROUP, PART, WEIGHT, QUERY = "_group", "_part", "_weight", "_query"
"""In a dataset: the value of the model's `groups=`, of its `split=`, of its `weight=`, and of its `query=`."""

LAST, SEASON = "_last", "_season"
"""In the dataset of a forecast: the target of the example's own row, and of the row whole weeks before the time that is
forecast."""

PREDICTION, LOGGED_AT, VERSION, FLAGS = "_id", "_logged_at", "_version", "_flags"
"""In a prediction log: the prediction's id, when it was logged, the model version, and the flags of the answer."""

SCORES, DECISION, ROLE = "_scores", "_decision", "_role"
"""In a prediction log: scores by name, as JSON; the decision, as text; the role of the version."""

POLICY, VALUES, QUOTAS = "_policy", "_values", "_quotas"
"""In a prediction log: the version of the policy that decided; the value of each option, as JSON; and how often each
limited option was taken before, as JSON."""

REQUEST, RANK, OFFERED, PROPENSITY = "_request", "_rank", "_offered", "_propensity"
"""In a prediction log, of a chosen candidate: the id of the answer, the place in its list, how many candidates were
offered, and the probability that this one got its place."""

SENT = "value"
"""In the outcomes that clients sent: the outcome. The other columns are `_id`, the id that it was sent for, `_seq` and
`_arrived`."""


def is_hidden(column: str) -> bool:
    """Return whether a column is a hidden column."""
    return column.startswith("_")


def visible(schema: Mapping[str, str]) -> dict[str, str]:
    """Return the columns (name → type) that are not hidden."""
    return {name: kind for name, kind in schema.items() if not is_hidden(name)}


def visible_names(columns: Iterable[str]) -> list[str]:
    """Return the names of the columns that are not hidden."""
    return [name for name in columns if not is_hidden(name)]
