"""What made features are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mainstem.models.data.rows import Examples, Matrix, Rows
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.engineering import PART_PERIODS, only_for_holidays


class Made(Protocol):
    """Fitted features: numbers [n, K] that are made of inputs."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each."""

    @property
    def origins(self) -> tuple[tuple[int, ...], ...]:
        """The inputs that each is made of, floats first."""

    @property
    def told(self) -> tuple[str, ...]:
        """Say why or how each was made."""

    def transform(self, rows: Rows) -> Matrix: ...

    def onnx(self, builder: Builder, floats: str, strings: str) -> str: ...


@dataclass(frozen=True)
class Names:
    """The inputs by name: the places of numbers and of texts in their blocks."""

    floats: tuple[str, ...]
    strings: tuple[str, ...]

    @classmethod
    def of(cls, examples: Examples) -> Names:
        width = examples.rows.floats.shape[1]
        names = examples.names or tuple(f"input {n}" for n in range(width + examples.rows.strings.shape[1]))
        return cls(names[:width], names[width:])

    def numbers(self, asked: Sequence[str]) -> list[int]:
        """Return the places of the numbers that are asked for and here. One that a fold's selection lacks is left
        out."""
        return [self.floats.index(each) for each in asked if each in self.floats]


def free(examples: Examples) -> list[int]:
    """Return the numbers that features may be made of without being asked for by name.

    Those with a monotone constraint are left out: scores would follow the input through what is made of it, too. So are
    those that only holidays read.
    """
    width, gone = examples.rows.floats.shape[1], aside(examples)
    return [j for j in range(width) if not (examples.monotone and examples.monotone[j]) and j not in gone]


def aside(examples: Examples) -> list[int]:
    """Return the places of numbers of a forecast that only holidays read."""
    read = only_for_holidays(examples.engineer) if examples.ahead is not None else ()
    return [n for n, name in enumerate(examples.names[: examples.rows.floats.shape[1]]) if name in read]


def is_part(name: str) -> bool:
    """Return whether a number is a part of a date that comes round."""
    column, _, part = name.rpartition("__")
    return bool(column) and part in PART_PERIODS
