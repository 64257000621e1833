"""What a model declares about the rows that a fit learns from, and how much they count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mainstem.nodes.base import refused
from mainstem.nodes.durations import microseconds
from mainstem.nodes.kinds import number

Resample = Literal["under", "over"]


@dataclass(frozen=True)
class Sampling:
    """Which rows each fit learns from: at most `max_rows`, those of a `half_life` earlier count half, and classes count
    by `class_weight` or are drawn to equal numbers by `resample`."""

    class_weight: Literal["balanced"] | tuple[tuple[str, float], ...] | None = None
    resample: Resample | None = None
    half_life: str | None = None
    max_rows: int | None = None

    def __bool__(self) -> bool:
        return self != Sampling()

    @property
    def of_classes(self) -> bool:
        """Whether it changes how often classes occur."""
        return self.class_weight is not None or self.resample is not None

    @property
    def half(self) -> int | None:
        """The half-life in microseconds."""
        return None if self.half_life is None else microseconds(self.half_life)

    @property
    def named(self) -> dict[str, float]:
        """The weights of classes by name, if they are declared."""
        return dict(self.class_weight) if isinstance(self.class_weight, tuple) else {}

    @property
    def said(self) -> str:
        """What it does, in words."""
        weighed = ", ".join(f"{name} {weight:g}" for name, weight in self.named.items()) or "balanced"
        parts = [
            f"at most {self.max_rows:,} rows, a stratified sample" if self.max_rows else "",
            f"rows count half as much every {self.half_life}" if self.half_life else "",
            f"classes count by weight ({weighed})" if self.class_weight else "",
            {
                "under": "the larger classes are drawn to the size of the smallest",
                "over": "the smaller classes are repeated",
            }.get(self.resample or "", ""),
            "probabilities are corrected back" if self.of_classes else "",
        ]
        return "; ".join(filter(None, parts))


def class_weights(name: str, value: Any) -> None:
    """Require `"balanced"`, or a positive weight for each class that is named."""
    if isinstance(value, str) and value == "balanced":
        return
    if not isinstance(value, Mapping) or not value or not all(isinstance(key, (str, bool, int)) for key in value):
        raise refused(f"`{name}` has an invalid value", value, f'"balanced", or weights by class: {name}={{True: 5}}')
    for each in value.values():
        number(0)(f"a weight of {name}", each)


def plain_weights(value: Any) -> Any:
    """Return weights of classes as a value: names as labels have them, in order."""
    if not isinstance(value, Mapping):
        return value
    return tuple(
        sorted((str(key).lower() if isinstance(key, bool) else str(key), float(w)) for key, w in value.items())
    )
