"""Findings, which the ML side reports to the data side; and remedies: accepted findings as changes of the project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mainstem.masking import masked_all
from mainstem.nodes.records import Measure, now
from mainstem.nodes.verbs import AnyVerb

FindingKind = Literal["source_change", "drift", "labels", "world_changed", "performance"]
FindingState = Literal["open", "accepted", "rejected", "verified", "failed"]


@dataclass(frozen=True)
class Rule:
    """A remedy's action: apply `verb` to the rows of a source for which `where` (a condition over its columns) holds.

    `guard` is a condition over aggregates of one day of corrected rows. If it does not hold, the cause is gone, and the
    run reports that.
    """

    node: str
    verb: AnyVerb
    where: str
    guard: str

    @property
    def column(self) -> str:
        """The column that the verb changes, or the first of its key."""
        return self.verb.columns[0]

    @property
    def place(self) -> str:
        """The column as errors and findings name it: `departures.dep_delay`."""
        return f"{self.node}.{self.column}"


@dataclass(frozen=True)
class Evidence:
    """The result of a test: its statistic, the value on the reference and now, and the adjusted p-value."""

    test: str
    statistic: float
    reference: float
    current: float
    adjusted_p: float


@dataclass(frozen=True)
class Rival:
    """Another explanation, with its score in the same unit as the finding's gain."""

    name: str
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Recovery:
    """The metric before and after a remedy, on the same rows. `recovered` is the difference, with an interval."""

    before: float
    after: float
    recovered: Measure


@dataclass(frozen=True)
class Finding:
    """A loss of a live model, the upstream column that causes it, and the fix that was replayed.

    `cost` is in the model's own metric. `detectable` is the smallest cost that the test could detect. `lineage` leads
    from the model's inputs to the suspected source columns, in order. `harmless` marks a drift without a cost.
    """

    id: str
    kind: FindingKind
    node: str
    column: str
    partition: str
    rows: int
    endpoint: str
    model_version: str
    window: tuple[datetime, datetime]
    evidence: tuple[Evidence, ...]
    summary: str
    metric: str = ""
    cost: Measure | None = None
    detectable: float | None = None
    harmless: bool = False
    rivals: tuple[Rival, ...] = ()
    lineage: tuple[str, ...] = ()
    rule: Rule | None = None
    promised: Recovery | None = None
    realised: Recovery | None = None
    owner: str | None = None
    state: FindingState = "open"
    reason: str | None = None
    muted_until: datetime | None = None
    branch: str = "main"
    run: str = ""
    created_at: datetime = field(default_factory=now)

    def __post_init__(self) -> None:
        for name in ("summary", "reason"):
            object.__setattr__(self, name, masked_all(getattr(self, name)))


@dataclass(frozen=True)
class Remedy:
    """An accepted finding, as remedies.toml holds it."""

    finding: str
    rule: Rule
    accepted_at: datetime = field(default_factory=now)
    note: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
