"""Why a prediction is what it is, as plain records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from mainstem.nodes.notebook import line


def figure(value: float, sign: str = "") -> str:
    """Return a number with four significant digits, or without decimals from 1,000 on; with its sign for `+`."""
    return f"{value:{sign},.0f}" if abs(value) >= 1_000 else f"{value:{sign}.4g}"


@dataclass(frozen=True)
class Contribution:
    """How much one input moves the score from the base: its Shapley value, with the standard error of the sampling."""

    input: str
    value: Any
    effect: float
    error: float
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Explanation:
    """One prediction: `score` = `base` + the sum of all `contributions`, the largest first.

    `base` is the mean score of `background` rows that the version learned from. `score` is P(true), a value, or the
    probability of `label`.
    """

    version: str
    score: float
    base: float
    contributions: tuple[Contribution, ...]
    background: int
    label: str | None = None

    def __repr__(self) -> str:
        largest = self.contributions[0] if self.contributions else None
        words = f"{largest.input} {figure(largest.effect, '+')}" if largest else None
        return line("Explanation", self.version, f"score {figure(self.score)}", f"base {figure(self.base)}", words)

    def _repr_html_(self) -> str:
        return f"<table>{''.join(self._rows())}</table>"

    def _rows(self) -> Iterator[str]:
        most = max((abs(each.effect) for each in self.contributions), default=0.0) or 1.0
        yield f"<tr><td>base</td><td></td><td>{figure(self.base)}</td><td></td></tr>"
        for each in self.contributions:
            colour = "#2f74b5" if each.effect > 0 else "#d0762b"
            bar = f'<div style="width:{abs(each.effect) / most * 160:.0f}px;height:.7em;background:{colour}"></div>'
            name, value, adds = escape(each.input), escape(str(each.value)), figure(each.effect, "+")
            yield f"<tr><td>{name}</td><td>{value}</td><td>{adds}</td><td>{bar}</td></tr>"
        yield f"<tr><td>score</td><td>{escape(self.label or '')}</td><td>{figure(self.score)}</td><td></td></tr>"
