"""What a part of a preprocessor is, and the numbers of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mainstem.models.data.rows import Matrix, Strings
from mainstem.models.graphs.builder import Builder

APART = -1
"""In `rising`: the column does not rise with its input."""


class Fitted(Protocol):
    """A fitted preprocessor, or a part of one: some inputs as columns of a matrix.

    Inputs have numbers: 0 … F−1 floats, F … F+S−1 strings. `origins` maps each column to its input, and `rising` to
    the input that it rises with, `APART` if to none: only these keep monotone constraints.
    """

    @property
    def origins(self) -> tuple[int, ...]: ...

    @property
    def rising(self) -> tuple[int, ...]: ...

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        """Return the matrix [n, len(origins)] float32."""

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        """Add the same to a graph. Return the name of the matrix."""

    def told(self) -> Mapping[int, str]:
        """Return in words what is done with each input that has a column."""
