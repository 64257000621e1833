"""Scores: the rows of a table, each with the score that a model gives it, stored as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.nodes.base import Node, NodeRef, names, refused
from mainstem.nodes.declared import META, declared
from mainstem.nodes.kinds import anything, columns, integer, optional
from mainstem.nodes.models import Model

SCORE, VERSION, AT = "score", "version", "predicted_at"
"""The columns of scores beside the key: the score, the id of the version that gave it, and the time of prediction."""

LABEL, SCORES = "label", "scores"
"""What models of several scores have besides: the likeliest class, and all probabilities or quantiles as JSON."""

MADE_BY = "mainstem.version"
"""The snapshot property with the id of the version that scored the rows."""

FEATURES = "mainstem.features"
"""The snapshot property with a hash of the definitions of the features that the rows were scored by."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Score(Node):
    """The scores that `model` gives the rows of a relation. `key` identifies a row of them; in a project it is that of
    the relation by default, and has the horizon of a forecast."""

    of: NodeRef
    model: NodeRef
    key: tuple[str, ...] = ()
    retries: int | None = None


@declared(
    of=anything, model=anything, key=optional(columns(at_least=1)), meta={**META, "retries": optional(integer(0))}
)
def score(of: NodeRef, model: NodeRef, *, key: str | Sequence[str] | None = None, **meta: Any) -> Score:
    """Declare a table with the score of each row of `of`: a run scores all rows in batches.

    `of` is a table or a source with the columns that a request of the model has, and those of its prediction time.
    Features are those known at the prediction time of each row. The champion of the model's endpoint scores; of a model
    without an endpoint, the newest version. The columns are `key` (default: that of `of`), `predicted_at`, `score` and
    `version`; of several classes also `label` and `scores`, the probability of each class as JSON, and of quantiles
    `scores`. A forecast has a row for each horizon, with `horizon`, such as `7d`, and `for`, the time that is forecast.
    A new champion, and new rows, make the table due. Raises `DefinitionError`.
    """
    if not isinstance(of, (Node, str)) or isinstance(of, Model):
        raise refused("scores require a table", of, "a table, a source or a stream, or the name of one")
    if not isinstance(model, (Model, str)):
        raise refused("scores require a model", model, "a model, or the name of one")
    return Score(of=of, model=model, key=names(key), **meta)
