"""The ONNX model in BentoML: `bentoml serve _onnx_bentoml:Late`. MODEL is its file."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime
from pydantic import BaseModel


class Row(BaseModel):
    """The inputs of the model."""

    delay: float
    busy: float
    distance: float
    origin: str


@bentoml.service(workers=1)
class Late:
    """A model of two inputs, without its features and without a log."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, rows: list[Row]) -> list[float]:
        floats = np.array([[row.delay, row.busy, row.distance] for row in rows], np.float32)
        strings = np.array([[row.origin] for row in rows], object)
        (scores,) = self.session.run(None, {"floats": floats, "strings": strings})
        return [float(score) for score in scores]
