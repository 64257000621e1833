"""Two versions side by side: what was measured of each, what differs, and which one is better on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mainstem.nodes import notebook
from mainstem.nodes.comparisons import Verdict, measured
from mainstem.nodes.records import InputColumn, Measure


@dataclass(frozen=True)
class Contender:
    """One of the two versions. `metrics` were measured on its own test rows; `baseline` is the naive model's there.

    `split` says how it was measured, and on how many rows. `snapshots` maps each training table to its snapshot id.
    """

    version: str
    task: str
    algorithm: str
    created_at: datetime
    metrics: Mapping[str, Measure]
    baseline: Mapping[str, Measure]
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[InputColumn] = ()
    split: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Differing:
    """A fact in which the versions differ. None says that a version does not have it."""

    part: str
    name: str
    first: str | None
    second: str | None


@dataclass(frozen=True, repr=False)
class SideBySide:
    """Two versions side by side. `same` are the parts in which they do not differ.

    `gain` is how much better the second is by `metric` on rows that neither was trained on, with its paired 95 %
    interval, and `on_same_rows` are the two values there. Without such rows it is None, and `text` says why.
    """

    first: Contender
    second: Contender
    metric: str
    differing: Sequence[Differing]
    same: Sequence[str]
    verdict: Verdict | None
    text: str
    gain: Measure | None = None
    on_same_rows: tuple[Measure, Measure] | None = None

    @property
    def metrics(self) -> list[tuple[str, Measure | None, Measure | None]]:
        """The metrics of both, that of the verdict first; None where a version does not have one."""
        names = dict.fromkeys([self.metric, *self.first.metrics, *self.second.metrics])
        return [(name, self.first.metrics.get(name), self.second.metrics.get(name)) for name in names]

    @property
    def alike(self) -> str:
        """The parts in which they do not differ, in words."""
        return f"the same in both: {', '.join(self.same)}" if self.same else ""

    def __repr__(self) -> str:
        return notebook.line("SideBySide", f"{self.first.version} and {self.second.version}", self.text)

    def _repr_html_(self) -> str:
        one, two = self.first.version, self.second.version
        columns = ("", one, two)
        both = [(name, *map(measured, sides)) for name, *sides in self.metrics]
        rows = [dict(zip(columns, each, strict=True)) for each in both]
        differing = [
            dict(zip(columns, (f"{each.part}: {each.name}", each.first or "–", each.second or "–"), strict=True))
            for each in self.differing
        ]
        own = notebook.html(f"{one} and {two}", "each on its own test rows, 95 % intervals", rows, columns)
        return own + notebook.html("What differs", self.alike, differing, columns) + notebook.said(self.text)
