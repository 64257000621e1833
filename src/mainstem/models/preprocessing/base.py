"""What a preprocessor is, unfitted and fitted."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Matrix, Strings
from mainstem.models.graphs.builder import Builder


class Fitted(Protocol):
    """A fitted preprocessor. `origins` maps each matrix column to its input: 0 … F−1 floats, F … F+S−1 strings."""

    @property
    def origins(self) -> tuple[int, ...]: ...

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        """Return the matrix [n, len(origins)]."""

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        """Add the same to a graph. Return the name of the matrix."""


class Preprocessor(Protocol):
    def fit(self, floats: Matrix, strings: Strings, targets: NDArray[np.float64]) -> Fitted:
        """Fit on training rows. `targets` [n, T] are the values, or one indicator column per class."""
