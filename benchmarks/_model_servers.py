"""Model servers that stand beside Mainstem, with the same ONNX model. Each gets the inputs of the model from the
client: it reads no features, and logs nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from _environments import environment
from _servers import free_port

HERE = Path(__file__).parent
VERSIONS = {"MLServer": "1.6", "BentoML": "1.4", "MLflow": "3.17"}
NEEDED = {
    "MLServer": ("mlserver==1.6.*", "onnxruntime", "numpy"),
    "BentoML": ("bentoml==1.4.*", "onnxruntime", "numpy"),
    "MLflow": ("mlflow==3.17.*", "onnxruntime", "numpy", "uvicorn", "fastapi"),
}
PATIENCE = 120.0
"""Seconds that a server gets to start."""

Served = tuple[str, str, Any]
"""The URL of a server, the path of predictions, and the body of one row."""


@contextmanager
def serving(command: Sequence[str], port: int, ready: str, **more: str) -> Iterator[str]:
    """The URL of a server that was started, once `ready` answers. It ends with all its processes."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=HERE, env={**os.environ, **more}, start_new_session=True, **quiet)
    try:
        end = time.monotonic() + PATIENCE
        while not _answers(port, ready):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} did not start")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def mlserver(programs: Path, model: Path, root: Path, row: dict[str, Any]) -> Iterator[Served]:
    port, home = free_port(), root / "mlserver"
    home.mkdir()
    others = {"grpc_port": free_port(), "metrics_port": free_port()}
    settings = {"host": "127.0.0.1", "http_port": port, **others, "parallel_workers": 0, "debug": False}
    (home / "settings.json").write_text(json.dumps(settings))
    described = {"name": "late", "implementation": "_onnx_mlserver.Late", "parameters": {"uri": str(model)}}
    (home / "model-settings.json").write_text(json.dumps(described))
    numbers = [row["delay"], row["busy"], row["distance"]]
    body = {
        "inputs": [
            {"name": "floats", "shape": [1, 3], "datatype": "FP32", "data": numbers},
            {"name": "strings", "shape": [1, 1], "datatype": "BYTES", "data": [row["origin"]]},
        ]
    }
    command = [str(programs / "mlserver"), "start", str(home)]
    with serving(command, port, "/v2/models/late/ready", PYTHONPATH=str(HERE)) as url:
        yield url, "/v2/models/late/infer", body


@contextmanager
def bentoml(programs: Path, model: Path, root: Path, row: dict[str, Any]) -> Iterator[Served]:
    port = free_port()
    command = [str(programs / "bentoml"), "serve", "_onnx_bentoml:Late", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(root / "bentoml")}
    with serving(command, port, "/readyz", MODEL=str(model), PYTHONPATH=str(HERE), **quiet) as url:
        yield url, "/predict", {"rows": [row]}


@contextmanager
def mlflow(programs: Path, model: Path, root: Path, row: dict[str, Any]) -> Iterator[Served]:
    port, home = free_port(), root / "mlflow"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    save = [str(programs / "python"), str(HERE / "_onnx_mlflow.py"), str(model), str(home)]
    subprocess.run(save, check=True, cwd=root, env={**os.environ, **quiet}, capture_output=True)
    serve = [str(programs / "mlflow"), "models", "serve", "-m", str(home), "--env-manager", "local", "-w", "1"]
    path = f"{programs}:{os.environ['PATH']}"
    command = [*serve, "-h", "127.0.0.1", "-p", str(port)]
    with serving(command, port, "/ping", PATH=path, PYTHONPATH=str(HERE), **quiet) as url:
        yield url, "/invocations", {"dataframe_records": [row]}


START: dict[str, Callable[..., Any]] = {"MLServer": mlserver, "BentoML": bentoml, "MLflow": mlflow}


def started(stack: ExitStack, model: Path, root: Path, row: dict[str, Any]) -> dict[str, Served]:
    """The servers that run. One that cannot be installed or does not start is named in a line, and left out."""
    found: dict[str, Served] = {}
    for name, start in START.items():
        try:
            programs = environment(name.lower(), VERSIONS[name], *NEEDED[name])
            found[name] = stack.enter_context(start(programs, model, root, row))
        except (SystemExit, subprocess.CalledProcessError) as problem:
            print(f"{name} {VERSIONS[name]} is left out: {str(problem).splitlines()[0]}", flush=True)
    return found
