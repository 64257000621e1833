"""Features made of inputs, and inputs left out: fitted inside the fold, equal in numpy and as an ONNX subgraph.

A kind of feature is one module. `fitting` puts them before an algorithm; its estimator and its graph contain both.
"""

from mainstem.models.engineering.fitting import Engineered, EngineeredScore, fit, recipes

__all__ = ["Engineered", "EngineeredScore", "fit", "recipes"]
