"""Draw charts as SVG: axes with round ticks, lines, areas, points, bars. Colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, isfinite, log10

WIDTH, HEIGHT = 380, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 36
LONGEST = 26


@dataclass
class Chart:
    """A chart that is being made. `x` and `y` are the ranges of the axes. Later shapes are drawn above earlier ones."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_label: str = ""
    y_label: str = ""
    title: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    x_ticks: Sequence[tuple[float, str]] | None = None
    y_ticks: Sequence[tuple[float, str]] | None = None
    shapes: list[str] = field(default_factory=list)

    def line(self, x: Sequence[float], y: Sequence[float], name: str = "one") -> None:
        """Draw a line through points."""
        points = " ".join(f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in zip(x, y, strict=True))
        self.shapes.append(f'<polyline class="line {name}" points="{points}"/>')

    def band(self, x: Sequence[float], low: Sequence[float], high: Sequence[float], name: str = "one") -> None:
        """Fill the area between two lines."""
        there = [f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in zip(x, high, strict=True)]
        back = [f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in zip(reversed(x), reversed(low), strict=True)]
        self.shapes.append(f'<polygon class="band {name}" points="{" ".join([*there, *back])}"/>')

    def point(self, x: float, y: float, tip: str, name: str = "one", radius: float = 3.2) -> None:
        """Draw a dot with a tip."""
        self.shapes.append(
            f'<circle class="dot {name}" cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="{radius}">{_tip(tip)}</circle>'
        )

    def upright(self, x: float, low: float, high: float, name: str = "one") -> None:
        """Draw a vertical interval."""
        self.shapes.append(_segment(self._x(x), self._y(low), self._x(x), self._y(high), f"whisker {name}"))

    def lying(self, y: float, low: float, high: float, name: str = "one") -> None:
        """Draw a horizontal interval."""
        self.shapes.append(_segment(self._x(low), self._y(y), self._x(high), self._y(y), f"whisker {name}"))

    def rule(self, x: tuple[float, float], y: tuple[float, float], name: str = "guide") -> None:
        """Draw a straight line for reference."""
        self.shapes.append(_segment(self._x(x[0]), self._y(y[0]), self._x(x[1]), self._y(y[1]), name))

    def bar(self, x: tuple[float, float], y: tuple[float, float], tip: str, name: str = "one") -> None:
        """Fill a rectangle between two values of each axis."""
        a, b = sorted((self._x(x[0]), self._x(x[1])))
        c, d = sorted((self._y(y[0]), self._y(y[1])))
        self.shapes.append(
            f'<rect class="bar {name}" x="{a:.1f}" y="{c:.1f}" width="{max(b - a, 0.8):.1f}" '
            f'height="{max(d - c, 0.8):.1f}" rx="1.5">{_tip(tip)}</rect>'
        )

    def name_row(self, y: float, words: str) -> None:
        """Write the name of a row to the left of the axis."""
        shown = words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"
        self.shapes.append(
            f'<text class="label" x="{self.left - 8}" y="{self._y(y):.1f}" dy=".35em" text-anchor="end">'
            f"{_tip(words)}{escape(shown)}</text>"
        )

    def svg(self) -> str:
        """Return the chart as an SVG element."""
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(self.title)}">'
            f"{self._axes()}{''.join(self.shapes)}</svg>"
        )

    def _axes(self) -> str:
        xs = ticks(*self.x) if self.x_ticks is None else self.x_ticks
        ys = ticks(*self.y) if self.y_ticks is None else self.y_ticks
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        parts = [_segment(self.left, self._y(v), right, self._y(v), "grid") for v, _ in ys]
        parts += [
            f'<text class="tick" x="{self.left - 6}" y="{self._y(v):.1f}" dy=".35em" text-anchor="end">'
            f"{escape(t)}</text>"
            for v, t in ys
        ]
        parts += [
            f'<text class="tick" x="{self._x(v):.1f}" y="{bottom + 14}" text-anchor="middle">{escape(t)}</text>'
            for v, t in xs
        ]
        parts.append(_segment(self.left, bottom, right, bottom, "axis"))
        middle = (self.left + right) / 2
        if self.x_label:
            parts.append(
                f'<text class="axis-label" x="{middle:.0f}" y="{self.height - 5}" text-anchor="middle">'
                f"{escape(self.x_label)}</text>"
            )
        if self.y_label:
            at = (TOP + bottom) / 2
            parts.append(
                f'<text class="axis-label" transform="translate(11 {at:.0f}) rotate(-90)" text-anchor="middle">'
                f"{escape(self.y_label)}</text>"
            )
        return "".join(parts)

    def _x(self, value: float) -> float:
        low, high = self.x
        return self.left + (self.width - RIGHT - self.left) * _share(value, low, high)

    def _y(self, value: float) -> float:
        low, high = self.y
        return self.height - BOTTOM - (self.height - BOTTOM - TOP) * _share(value, low, high)


def _share(value: float, low: float, high: float) -> float:
    """Return where a value is between two, kept within the chart. An axis may run backwards."""
    return min(1.0, max(0.0, (value - low) / (high - low))) if high != low else 0.5


def _segment(x1: float, y1: float, x2: float, y2: float, name: str) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def ticks(low: float, high: float, about: int = 5) -> list[tuple[float, str]]:
    """Return round values between two, with their texts: steps of 1, 2 or 5 times a power of ten."""
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return [(low, short(low))]
    rough = (high - low) / about
    power = 10.0 ** floor(log10(rough))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough * 0.999)
    digits = max(0, -floor(log10(step) + 1e-9))
    first = ceil(low / step - 1e-9)
    values = [round(n * step, 12) for n in range(first, floor(high / step + 1e-9) + 1)]
    large = max(abs(low), abs(high)) >= 10_000
    return [(v, short(v) if large or (v and step < 1e-3) else f"{v:.{digits}f}") for v in values]


def short(value: float) -> str:
    """Return a number in few characters: `12k`, `3.4M`, `0.05`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * (10 if unit == "k" else 1):
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:.0f}"


def padded(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    """Return a range with some room on both sides."""
    room = (high - low) * share or abs(high) * 0.1 or 1.0
    return low - room, high + room
