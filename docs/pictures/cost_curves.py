"""Draw the cost curves of docs/decisions.md: what each option costs by score, for two amounts.

python docs/pictures/cost_curves.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mainstem.models.report.svg import Chart

HERE = Path(__file__).parent
STEPS = [n / 400 for n in range(401)]
COLOURS = {"one": "#0b63a5", "two": "#c2571a", "three": "#1a7f4b"}
STYLE = (
    ".chart{font:12px system-ui,sans-serif;background:#fff}.grid{stroke:#e3e7ec}.axis{stroke:#8a949f}"
    ".tick,.axis-label,.label{fill:#5d6875;font-size:11px}.line{fill:none;stroke-width:2}"
    ".guide{stroke:#8a949f;stroke-dasharray:4 4}.band{opacity:.13}.note{font-weight:600}"
)


def costs(amount: float) -> Mapping[str, Callable[[float], float]]:
    """Return the rule of the page: what each option costs for a payment of an amount, by score."""
    return {
        "allow": lambda score: score * (amount + 15),
        "review": lambda score: 4 + 0.1 * score * (amount + 15),
        "block": lambda score: (1 - score) * (0.03 * amount + 8),
    }


def draw(amount: float, top: float) -> str:
    """Return the curves of the options, with the range of scores in which each one is the cheapest."""
    options = costs(amount)
    chart = Chart((0, 1), (0, top), "score", "expected cost", f"costs for an amount of {amount:g}", 440, 280)
    cheapest = [min(options, key=lambda name: options[name](score)) for score in STEPS]
    colours = dict(zip(options, COLOURS, strict=True))
    for name in dict.fromkeys(cheapest):
        part = [score for score, best in zip(STEPS, cheapest, strict=True) if best == name]
        low, high = part[0], part[-1]
        chart.band([low, high], [0, 0], [top, top], colours[name])
        if high < 1:
            chart.rule((high, high), (0, top))
        middle = 46 + (440 - 58) * (low + high) / 2
        text = name if (440 - 58) * (high - low) > 44 else ""
        chart.shapes.append(
            f'<text class="note {colours[name]}" x="{middle:.0f}" y="24" text-anchor="middle">{text}</text>'
        )
    for name, cost in options.items():
        inside = [(score, cost(score)) for score in STEPS if cost(score) <= top]
        chart.line([x for x, _ in inside], [y for _, y in inside], colours[name])
    rules = "".join(
        f".line.{name}{{stroke:{colour}}}.band.{name},.note.{name}{{fill:{colour}}}" for name, colour in COLOURS.items()
    )
    svg = chart.svg().replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="440" height="280" ', 1)
    head, mark, rest = svg.partition(">")
    return f"{head}{mark}<style>{STYLE}{rules}</style><rect width='440' height='280' fill='#fff'/>{rest}\n"


if __name__ == "__main__":
    for amount, top in ((20.0, 10.0), (400.0, 30.0)):
        (HERE / f"cost-curves-{amount:.0f}.svg").write_text(draw(amount, top))
