"""The challengers of an endpoint that declares shadows or a canary, as a release has them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from mainstem.errors import MainstemError, Unavailable
from mainstem.features.retrieval import beyond
from mainstem.nodes.challengers import Canary
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.models import Model
from mainstem.nodes.records import Release
from mainstem.serving.canary import ChoosingSplit, Guard, Split
from mainstem.serving.predictor import Predictor
from mainstem.serving.shadows import Shadow

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beside:
    """The id of a challenger, or None without one; the shadow, and the split of a canary. `trouble` says why it cannot
    score."""

    version: str | None
    predictor: Predictor | None = None
    shadow: Shadow | None = None
    split: Split | None = None
    trouble: MainstemError | None = None


def challengers_of(
    graph: Graph,
    release: Release,
    champion: Predictor,
    node: Endpoint,
    load: Callable[[str, Model], Predictor],
    guard: Callable[[Canary, str, str], Guard],
    floor: int,
) -> list[Beside]:
    """Return the challenger of each model that an endpoint declares. One that cannot be loaded does not stop the
    champion.

    `load` gives the predictor of a version, `guard` the guard of a canary. `floor` is the number of scores of shadows
    in the lake.
    """
    name, own = champion.name, graph.name_of(node.model)
    shadows = {graph.name_of(each.model) for each in node.shadow}
    found = []
    for model, declared in {graph.name_of(each): each for each in node.challenged}.items():
        id = release.challenger(name, model)
        if id is None:
            found.append(Beside(None))
            continue
        try:
            predictor = load(id, declared)
            left = beyond(champion.retrieval, predictor.retrieval)
            kind = Split if node.candidates is None else ChoosingSplit
            split = kind(champion, predictor, guard(node.canary, name, id)) if node.canary and model == own else None
        except Exception as error:  # whatever it is, the champion answers
            fields = {"event": "challenger failed", "endpoint": name, "version": id}
            logger.warning("the challenger %s cannot be loaded: %s", id, error, extra={"fields": fields})
            trouble = error if isinstance(error, MainstemError) else Unavailable(str(error) or type(error).__name__)
            found.append(Beside(id, trouble=trouble))
            continue
        shadow = Shadow(name, predictor, left, floor) if model in shadows else None
        found.append(Beside(id, predictor, shadow, split))
    return found
