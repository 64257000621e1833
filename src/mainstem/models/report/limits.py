"""What a version cannot tell, or should be doubted for: sentences from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mainstem.nodes.evaluations import Evaluation
from mainstem.nodes.records import Measure

FEW = 1_000
OUTSIDE = 0.9
"""The share of blocks in whose interval the whole test's value should be."""


def limits(card: Mapping[str, Any], found: Evaluation | None) -> Iterator[str]:
    """Yield the limits of a version as sentences."""
    evaluation = card["evaluation"]
    if card["erased_at"]:
        yield f"Some of its rows were erased on {card['erased_at'][:10]}: it cannot be trained again as it was."
    if "leaks" in evaluation:
        yield "Leaks were not checked by time, because the model has no `prediction_time`."
    yield from (
        f"{name[0].upper()}{name[1:]}: {words}."
        for name, words in evaluation.items()
        if name.startswith(("assume_known", "rows ", "few "))
    )
    if found is None:
        yield "It was trained before evaluations were kept: train it again for curves and effects."
        return
    if found.rows < FEW:
        yield f"It was measured on {found.rows:,} rows only, so its intervals are wide."
    first = next(iter(card["metrics"].values()))
    if first["low"] <= first["baseline"] <= first["high"]:
        yield "Its interval contains the value of the naive baseline: it may be no better."
    if not found.learning and found.inputs:
        yield "It has no learning curve: parts of its rows are too few to learn from, or do not define the metric."
    yield from _unstable(found, Measure(first["value"], first["low"], first["high"], first["rows"]))
    if found.slices.found:
        worst = found.slices.found[0]
        count = len(found.slices.found)
        parts = "a slice" if count == 1 else f"{count} slices"
        first_of = "" if count == 1 else ", first"
        yield f"It is worse or biased in {parts} of the test rows{first_of}: where {worst.where}."
    yield (
        "Importances and effects tell what the model uses, not what causes the target. Inputs that say the same share"
        " their importance."
    )


def _unstable(found: Evaluation, whole: Measure) -> Iterator[str]:
    outside = [b for b in found.stability if not b.measure.low <= whole.value <= b.measure.high]
    if len(found.stability) >= 4 and len(outside) > (1 - OUTSIDE) * len(found.stability) + 1:
        yield (
            f"It is not stable: in {len(outside)} of {len(found.stability)} blocks of time the interval does not"
            " contain the value of the whole test."
        )
