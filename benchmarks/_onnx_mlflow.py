"""Save the ONNX model as one of MLflow: `_onnx_mlflow.py MODEL DIRECTORY`. `mlflow models serve` serves it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime


class Late(mlflow.pyfunc.PythonModel):
    """A model of two inputs, without its features and without a log."""

    def load_context(self, context: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            context.artifacts["model"], options, providers=["CPUExecutionProvider"]
        )

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        floats = model_input[["delay", "busy", "distance"]].to_numpy(np.float32)
        (scores,) = self.session.run(None, {"floats": floats, "strings": model_input[["origin"]].to_numpy(object)})
        return scores


if __name__ == "__main__":
    path = Path(sys.argv[2])
    mlflow.pyfunc.save_model(path, python_model=Late(), artifacts={"model": sys.argv[1]}, pip_requirements=[])
