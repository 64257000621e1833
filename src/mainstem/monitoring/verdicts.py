"""Verdicts: a monitor's judgement of a range of predictions. Plain records, saved by the `State` port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from mainstem.nodes.records import Measure, now

Judgement = Literal["fine", "failing", "not enough rows"]


@dataclass(frozen=True)
class Shift:
    """How far one input is from its reference.

    `effect` is the population stability index. `usual` is the largest effect of a clean week of history, or of a
    shorter stretch for a shorter partition (0 without history). `adjusted_p` controls the false discovery rate over all
    inputs. `reference` and `current` are medians of numbers, or the frequency of the most changed level of texts.
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
    """The judgement of one monitor of an endpoint on the predictions in `window`, with a sentence for people.

    `monitor` is `drift`, `performance`, `calibration` or `value`; `attribution` marks predictions whose causes were
    searched for. `rows` counts predictions, `outcomes` those with a known outcome.
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


@dataclass(frozen=True)
class Shape:
    """How the predictions of a day are distributed.

    `quantiles` of the scores are those of `QUANTILES`, and `histogram` counts probabilities in equal bins from 0 to 1.
    `decisions` counts each option, but not candidates. `unknown` predictions have an entity that a view does not know.
    `nulls` is the share of nulls of each input that has some.
    """

    quantiles: tuple[float, ...] = ()
    histogram: tuple[int, ...] = ()
    decisions: Mapping[str, int] = field(default_factory=dict)
    unknown: int = 0
    nulls: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cohort:
    """The predictions of one day (UTC) by one model version.

    `known` of them have an outcome. The cohort is `mature` if their share is as large as the monitor asks for.
    `measure` is the metric on them, and `worth` the mean value of a decision; None if there are too few. `matures_at`
    is when the last outcome of the day is due, if the target says how long it takes, and `complete` says whether it was
    when the cohort was last looked at.
    """

    id: str
    endpoint: str
    branch: str
    model_version: str
    day: date
    predictions: int
    known: int
    mature: bool
    metric: str
    measure: Measure | None = None
    matures_at: datetime | None = None
    complete: bool = False
    worth: Measure | None = None
    fingerprint: str = ""
    shape: Shape | None = None

    @property
    def share(self) -> float:
        """The share of predictions with an outcome."""
        return self.known / self.predictions
