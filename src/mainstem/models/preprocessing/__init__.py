"""Convert inputs to a float32 matrix: fitted within the fold, and equal in numpy and as an ONNX subgraph.

A preprocessor reads `floats` [n, F] float32, with NaN for missing, and `strings` [n, S], with `NULL` for missing. The
ONNX subgraphs are built here and not converted, because converted encoders can be wrong without an error.
"""

from mainstem.models.preprocessing.base import Fitted, Preprocessor
from mainstem.models.preprocessing.both import Both, ForLinear, ForTrees
from mainstem.models.preprocessing.columns import Bounded
from mainstem.models.preprocessing.numbers import FAR, Filled, Scaled, finite
from mainstem.models.preprocessing.texts import FEWEST_ROWS, Levels, OneHot, Ordinal, fewest

__all__ = [
    "FAR",
    "FEWEST_ROWS",
    "Both",
    "Bounded",
    "Filled",
    "Fitted",
    "ForLinear",
    "ForTrees",
    "Levels",
    "OneHot",
    "Ordinal",
    "Preprocessor",
    "Scaled",
    "fewest",
    "finite",
]
