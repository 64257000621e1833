"""Verdicts: what a monitor says of a stretch of predictions. Plain records, kept by the `State` port."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mainstem.nodes.records import Measure, now

Judgement = Literal["fine", "failing", "not enough rows"]


@dataclass(frozen=True)
class Shift:
    """How far one input has moved from its reference.

    `effect` is the population stability index; `usual` the largest one that a clean week of history shows, or a shorter
    stretch for a shorter partition (0 where there is no history to tell); `adjusted_p` controls the false discovery
    rate over all inputs. `reference` and `current` are medians of numbers, or how often the most changed level occurs
    among texts.
    """

    input: str
    test: Literal["KS", "chi²", "none"]
    statistic: float
    effect: float
    usual: float
    adjusted_p: float
    reference: float
    current: float
    nulls: tuple[float, float]
    drifted: bool = False
    enough: bool = True


@dataclass(frozen=True)
class Verdict:
    """What one monitor of an endpoint says of the predictions in `window`: a judgement, and a sentence for people.

    `monitor` is `drift` or `performance`; `attribution` marks what was searched for causes. `rows` counts predictions,
    `outcomes` those whose truth is known.
    """

    id: str
    endpoint: str
    monitor: str
    judgement: Judgement
    text: str
    window: tuple[datetime, datetime]
    rows: int
    outcomes: int
    model_version: str
    metric: str = ""
    measure: Measure | None = None
    floor: float | None = None
    shifts: tuple[Shift, ...] = ()
    branch: str = "main"
    run: str = ""
    created_at: datetime = field(default_factory=now)
