"""Hidden columns: those that Mainstem adds to stored relations, and that users do not see unless they ask.

Every name that starts with `_` is hidden. Only this module spells them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mainstem.nodes.instants import INSTANT

SEQ = "_seq"
"""The order of landing, of every source that has a `time`; a stream's is the offset in its log. int64."""

ARRIVED = "_arrived"
"""When an event of a stream reached Mainstem. Instant."""

DELETED = "_deleted"
"""Whether a logged change retracts its row, in a stream with `changes=True`. Boolean."""

GONE = "_gone"
"""When a row was retracted, or null; derived from `DELETED` on reading. Instant."""

STREAM = {SEQ: "int64", ARRIVED: INSTANT, DELETED: "boolean"}
"""The types of what a stream adds."""

CHECK, RUN, SET_ASIDE_AT = "_check", "_run", "_at"

QUARANTINE = {CHECK: "string", RUN: "string", SET_ASIDE_AT: INSTANT}
"""What `quarantine.TABLE` adds: the labels of the violated checks, the run, and when it set the row aside."""

T = "_t"
"""The time of a prediction, in a dataset and in a prediction log. Instant."""

TARGET, SPLIT = "_target", "_split"
"""Of a dataset: the label, and `train`, `gap`, `test` or `unlabelled`."""

PREDICTION, LOGGED_AT, VERSION, FLAGS = "_id", "_logged_at", "_version", "_flags"
"""Of a prediction log: the prediction's id, when it was logged, the model version, what the answer was flagged with."""

SCORES, DECISION, ROLE = "_scores", "_decision", "_role"
"""Of a prediction log too: scores by name, as JSON; what was decided, as text; the role of the version."""


def is_hidden(column: str) -> bool:
    """Return whether a column is one of Mainstem's own."""
    return column.startswith("_")


def visible(schema: Mapping[str, str]) -> dict[str, str]:
    """Return the columns (name → type) that users see."""
    return {name: kind for name, kind in schema.items() if not is_hidden(name)}


def visible_names(columns: Iterable[str]) -> list[str]:
    """Return the names of the columns that users see."""
    return [name for name in columns if not is_hidden(name)]
