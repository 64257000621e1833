"""A server as people write it with FastAPI, in an environment of its own: `_fastapi_side.py MODEL DIRECTORY`.

It scores rows of the inputs of an ONNX model, which a client must send, and commits each request to LMDB before it
answers. It has no features, and its log has what the client sent. It prints its URL.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any
from uuid import uuid4

import lmdb
import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Row(BaseModel):
    """The inputs of the model."""

    delay: float
    busy: float
    distance: float
    origin: str


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
environment = lmdb.open(sys.argv[2], map_size=1 << 30)
app = FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/predict")
async def predict(rows: list[Row]) -> dict[str, Any]:
    floats = np.array([[row.delay, row.busy, row.distance] for row in rows], np.float32)
    strings = np.array([[row.origin] for row in rows], object)
    (scores,) = session.run(None, {"floats": floats, "strings": strings})
    answers = [{"id": uuid4().hex, "score": float(score)} for score in scores]
    with environment.begin(write=True) as transaction:
        for row, answer in zip(rows, answers, strict=True):
            transaction.put(answer["id"].encode(), json.dumps({**row.model_dump(), **answer}).encode())
    return {"predictions": answers}


if __name__ == "__main__":
    at = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    at.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{at.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[at])
