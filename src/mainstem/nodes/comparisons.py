"""The result of comparing a champion with its challenger on live requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mainstem.nodes import notebook
from mainstem.nodes.records import Measure

Verdict = Literal["better", "worse", "no difference shown", "too few outcomes"]


@dataclass(frozen=True)
class Side:
    """One version on live requests: its rows, those with a mature outcome, and the metric on them.

    `scores` are the quantiles of its scores by level, `decisions` the number of rows of each decision.
    """

    version: str
    rows: int
    outcomes: int
    measure: Measure | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    decisions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Comparison:
    """A champion and its challenger: on the same rows of a `shadow`, or in the two groups of a `canary`.

    `gain` is how much better the challenger is, in the unit of `metric`, with its 95 % interval; of a shadow it is
    paired. Of a shadow, `differing` is the number of rows on which the versions decide differently, and `apart` the
    mean absolute difference of their scores. `text` says what it means.
    """

    endpoint: str
    branch: str
    release: str
    way: Literal["shadow", "canary"]
    metric: str
    champion: Side
    challenger: Side
    verdict: Verdict
    text: str
    gain: Measure | None = None
    differing: int | None = None
    apart: float | None = None

    def __repr__(self) -> str:
        return notebook.line(
            "Comparison",
            f"{self.champion.version} and {self.challenger.version}",
            self.way,
            self.endpoint,
            self.verdict,
        )

    def _repr_html_(self) -> str:
        rows = [
            _row(side, role, self.metric) for side, role in ((self.champion, "champion"), (self.challenger, self.way))
        ]
        return notebook.html(self.endpoint, self.way, rows) + notebook.said(self.text)


def measured(found: Measure | None) -> str:
    """Return a value with its interval, a dash if there is none."""
    return "–" if found is None else f"{found.value:,.4g} ({found.low:,.4g}–{found.high:,.4g})"


def _row(side: Side, role: str, metric: str) -> dict[str, str]:
    decided = {name: f"{count / side.rows:.1%}" for name, count in side.decisions.items() if side.rows}
    about = {"version": side.version, "role": role, "rows": f"{side.rows:,}", "outcomes": f"{side.outcomes:,}"}
    return {
        **about,
        metric: measured(side.measure),
        **({"decisions": ", ".join(map(" ".join, decided.items()))} if decided else {}),
    }
