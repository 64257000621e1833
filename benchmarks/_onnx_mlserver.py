"""The ONNX model in MLServer, which asks for it by the name `_onnx_mlserver.Late`."""

from __future__ import annotations

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Late(MLModel):
    """A model of two inputs, without its features and without a log."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        floats, strings = payload.inputs
        feed = {
            "floats": NumpyCodec.decode_input(floats).astype(np.float32),
            "strings": np.array(StringCodec.decode_input(strings), object).reshape(-1, 1),
        }
        (scores,) = self.session.run(None, feed)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("score", scores)])
