"""Versions beside the champion: a shadow scores what the champion answers, a canary answers a share of requests."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.nodes.base import refused
from mainstem.nodes.declared import declared
from mainstem.nodes.models import Model


@dataclass(frozen=True, eq=False)
class Challenger:
    """The newest version of `model`, if it is not the champion."""

    model: Model


def _model(name: str, value: object) -> None:
    if not isinstance(value, (Model, str)) or value == "":
        raise refused(f"`{name}` must be a model", value, "a model declared with ms.model(…)")


@declared(model=_model)
def challenger(model: Model) -> Challenger:
    """Name the newest version of a model that is not the champion, for `ms.endpoint(shadow=[…])`.

    While the newest version is the champion there is no challenger.
    """
    return Challenger(model)
