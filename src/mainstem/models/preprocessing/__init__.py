"""Convert inputs to a float32 matrix: fitted within the fold, and equal in numpy and as an ONNX subgraph.

A preprocessor reads `floats` [n, F] float32, with NaN for missing, and `strings` [n, S], with `NULL` for missing. The
ONNX subgraphs are built here and not converted, because converted encoders can be wrong without an error. One module
has one kind of step. `plan` says which input has which, and `fit` fits them all.
"""

from mainstem.models.preprocessing.base import Fitted
from mainstem.models.preprocessing.composed import Composed, fit
from mainstem.models.preprocessing.indicators import Indicators
from mainstem.models.preprocessing.levels import FEWEST_ROWS, Levels, fewest
from mainstem.models.preprocessing.means import Means
from mainstem.models.preprocessing.numbers import Numbers, finite
from mainstem.models.preprocessing.ordinal import Ordinal
from mainstem.models.preprocessing.plan import BAYES, BY_NAME, LINEAR, TREES, Usual
from mainstem.models.preprocessing.scales import FAR, Affine, Ranks

__all__ = [
    "BAYES",
    "BY_NAME",
    "FAR",
    "FEWEST_ROWS",
    "LINEAR",
    "TREES",
    "Affine",
    "Composed",
    "Fitted",
    "Indicators",
    "Levels",
    "Means",
    "Numbers",
    "Ordinal",
    "Ranks",
    "Usual",
    "fewest",
    "finite",
    "fit",
]
