"""Growth as small panels of SVG: each axis logarithmic and by factors of the base, with the line of what is linear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10
from xml.sax.saxutils import escape

WIDE, HIGH = 360, 280
LEFT, RIGHT, TOP, BOTTOM = 44, 100, 54, 40
COLOURS = {"events": "#0072b2", "keys": "#d55e00", "windows": "#b0559b", "examples": "#00865d", "linear": "#888888"}
TICKS = (1, 2, 5, 10, 20)
LOWEST, HIGHEST = 0.4, 24.0
LINE = 14
"""Pixels between two labels."""


@dataclass(frozen=True)
class Curve:
    """What is measured as one thing grows: by factor, how many times that of the base."""

    what: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    title: str
    note: str
    curves: tuple[Curve, ...]


def svg(panels: Sequence[Panel], columns: int = 2) -> str:
    """The picture, for light and dark pages alike."""
    rows = -(-len(panels) // columns)
    wide, high = columns * WIDE, rows * HIGH
    body = "\n".join(
        f'<g transform="translate({n % columns * WIDE},{n // columns * HIGH})">\n' + "\n".join(_panel(panel)) + "\n</g>"
        for n, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="11">\n'
        f'<rect width="{wide}" height="{high}" rx="8" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _x(factor: float) -> float:
    return round(LEFT + (WIDE - LEFT - RIGHT) * log10(factor), 1)


def _y(factor: float) -> float:
    share = log10(factor / LOWEST) / log10(HIGHEST / LOWEST)
    return round(HIGH - BOTTOM - (HIGH - TOP - BOTTOM) * share, 1)


def _panel(panel: Panel) -> Iterator[str]:
    yield f'<text x="{LEFT}" y="24" font-size="13" font-weight="600" fill="#222">{escape(panel.title)}</text>'
    yield f'<text x="{LEFT}" y="40" fill="#777">{escape(panel.note)}</text>'
    for tick in TICKS:
        yield f'<path d="M{_x(1)} {_y(tick)}H{_x(10)}" stroke="#e8e8e8"/>'
        yield f'<text x="{LEFT - 8}" y="{_y(tick) + 4}" text-anchor="end" fill="#777">{tick}×</text>'
        if tick <= 10:
            yield f'<text x="{_x(tick)}" y="{HIGH - BOTTOM + 18}" text-anchor="middle" fill="#777">{tick}×</text>'
    yield f'<path d="M{_x(1)} {_y(1)}L{_x(10)} {_y(10)}" stroke="{COLOURS["linear"]}" stroke-dasharray="3 4"/>'
    for curve in panel.curves:
        yield from _curve(curve)
    yield from _labels(panel.curves)


def _curve(curve: Curve) -> Iterator[str]:
    places = [(_x(factor), _y(times)) for factor, times in curve.points]
    path = "L".join(f"{x} {y}" for x, y in places)
    yield f'<path d="M{path}" fill="none" stroke="{COLOURS[curve.what]}" stroke-width="2" stroke-linejoin="round"/>'
    for x, y in places:
        yield f'<circle cx="{x}" cy="{y}" r="3" fill="{COLOURS[curve.what]}"/>'


def _labels(curves: Sequence[Curve]) -> Iterator[str]:
    """At the end of each line its name and how many times the base it reached; they are moved apart to be read."""
    ends = [(_y(10), "linear", "")]
    ends += [(_y(times), curve.what, f"{times:.1f}×") for curve in curves for _, times in curve.points[-1:]]
    ends.sort()
    for y, (_, what, times) in zip(spread([y for y, *_ in ends]), ends, strict=True):
        yield (
            f'<text x="{_x(10) + 8}" y="{y + 4}" fill="{COLOURS[what]}">'
            f'{what} <tspan font-weight="600">{times}</tspan></text>'
        )


def spread(places: Sequence[float], apart: float = LINE) -> list[float]:
    """Rising places, moved as little as makes each at least `apart` from the one before."""
    groups: list[list[float]] = []  # of the places that have to touch, what the first would be if each stood alone
    for number, place in enumerate(places):
        groups.append([place - number * apart])
        while len(groups) > 1 and _mean(groups[-2]) > _mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    firsts = [_mean(group) for group in groups for _ in group]
    return [round(first + number * apart, 1) for number, first in enumerate(firsts)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
