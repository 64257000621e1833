"""Versions beside the champion: a shadow scores what the champion answers, a canary answers a share of requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mainstem.masking import masked
from mainstem.nodes.base import refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import column, fraction, number, optional
from mainstem.nodes.models import Model
from mainstem.nodes.records import now


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


@dataclass(frozen=True)
class Canary:
    """The challenger answers a `share` of the requests: always those with the same values of the field `by`.

    It ends when more than the share `errors` of its last requests failed or passed the endpoint's latency.
    """

    share: float
    by: str | None = None
    errors: float = 0.02


@dataclass(frozen=True)
class CanaryEnd:
    """The end of the canary of a version, with the reason and the counts of its last requests."""

    id: str
    endpoint: str
    branch: str
    version: str
    reason: str
    requests: int = 0
    failed: int = 0
    slow: int = 0
    ended_at: datetime = field(default_factory=now)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", masked(self.reason))


def end_id(branch: str, endpoint: str, version: str) -> str:
    """Return the id of the record of the end of a canary."""
    return f"{branch}/{endpoint}/{version}"


@declared(share=number(0, 1), by=optional(column), errors=fraction)
def canary(share: float, *, by: str | None = None, errors: float = 0.02) -> Canary:
    """Let the challenger answer a share of the requests, for `ms.endpoint(canary=…)`.

    Requests with the same value of the field `by` are answered by the same version; without `by`, the id of the
    prediction decides. The canary ends by itself when at least 5 of its last 200 requests, and more than the share
    `errors` of them, failed or took longer than the endpoint's `latency`. The champion answers requests that failed.
    """
    return Canary(share, by, errors)
