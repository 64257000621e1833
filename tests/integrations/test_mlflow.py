"""Versions in MLflow: a real server on loopback, from an environment of its own.

`MAINSTEM_MLFLOW` is the program `mlflow` of such an environment; without it, one is made for `make soak`:
`python -m venv DIR && DIR/bin/pip install mlflow onnx onnxruntime`. The other tests need none.
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

import mainstem as ms
import mainstem.testing
from mainstem.errors import DefinitionError, NotFound, StorageError
from mainstem.integrations import mlflow

TOKEN = "t0ken-of-this-test-only"


def rows():
    draw = random.Random(0)
    found = []
    for n in range(160):
        area = draw.uniform(20, 200)
        found.append({"id": n, "area": area, "city": draw.choice("ab"), "price": area * 3 + draw.gauss(0, 5)})
    return found


def nodes(**options):
    schema = {"id": "int64", "area": "float64", "city": "string", "price": "float64"}
    homes = ms.files("homes.parquet", key="id", schema=schema)
    price = ms.model(homes, target="price", features=["area", "city"], candidates=["linear"], folds=2, **options)
    return {"homes": homes, "price": price, "offers": ms.endpoint(price)}


@pytest.fixture(scope="module")
def project():
    with mainstem.testing.project(nodes(), data={"homes": rows()}) as made:
        made.run()
        made.promote("price")
        yield made


# ── without a server ──────────────────────────────────────────────────────────────────────────────────


def test_a_server_must_be_named(project, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(DefinitionError, match="no MLflow server is named"):
        mlflow.log(project, "price")
    with pytest.raises(DefinitionError, match="not named by the address of a server"):
        mlflow.log(project, "price", uri="file:///tmp/mlruns")


def test_an_unknown_version_is_refused_before_anything_is_sent(project):
    with pytest.raises((NotFound, DefinitionError)):
        mlflow.log(project, "price-9", uri="http://127.0.0.1:9")


def test_a_server_that_cannot_be_reached_is_told(project):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(StorageError, match="the server cannot be reached") as error:
            mlflow.log(project, "price", uri=uri)
    assert error.value.where == uri


class Refusing(BaseHTTPRequestHandler):
    """Refuses everything, or sends the client elsewhere, and remembers what it was told."""

    seen: ClassVar[list] = []
    elsewhere = ""

    def do_GET(self):
        self.seen.append((self.server.server_port, self.headers.get("Authorization")))
        self.send_response(302 if self.elsewhere else 401)
        if self.elsewhere:
            self.send_header("Location", self.elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing():
    handlers = [type("Handler", (Refusing,), {"seen": []}) for _ in "ab"]
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), each) for each in handlers]
    for each in servers:
        threading.Thread(target=each.serve_forever, daemon=True).start()
    yield list(zip(handlers, [f"http://127.0.0.1:{each.server_port}" for each in servers], strict=True))
    for each in servers:
        each.shutdown()
        each.server_close()


def test_credentials_are_sent_to_the_server_only_and_never_told(project, refusing, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    (first, here), (second, there) = refusing
    with pytest.raises(StorageError, match="the server refuses") as error:
        mlflow.log(project, "price", uri=here)
    assert first.seen[0][1] == f"Bearer {TOKEN}" and "MLFLOW_TRACKING_TOKEN" in error.value.hint
    assert TOKEN not in str(error.value)
    first.elsewhere = f"{there}/other"
    with pytest.raises(StorageError):
        mlflow.log(project, "price", uri=here)
    assert second.seen and second.seen[0][1] is None


def test_a_password_in_the_address_authenticates_and_is_not_told(project, refusing):
    (first, here), _ = refusing
    with pytest.raises(StorageError, match="the server refuses") as error:
        mlflow.log(project, "price", uri=here.replace("://", "://ann:pass%40w0rd-of-this-test@"))
    basic = base64.b64encode(b"ann:pass@w0rd-of-this-test").decode()
    assert first.seen[0][1] == f"Basic {basic}"
    assert "w0rd-of-this-test" not in f"{error.value} {error.value.where}"


def test_an_answer_that_is_not_http_is_told(project):
    with socket.socket() as odd:
        odd.bind(("127.0.0.1", 0))
        odd.listen()

        def answer():
            link, _ = odd.accept()
            with link:
                link.recv(1000)
                link.sendall(b"SSH-2.0-nonsense\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(StorageError, match="the server cannot be reached"):
            mlflow.log(project, "price", uri=f"http://127.0.0.1:{odd.getsockname()[1]}")


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────────


class Recording(BaseHTTPRequestHandler):
    """Answers as MLflow's REST API does, from what it was sent, and records it: `(method, path, body)`."""

    sent: ClassVar[list]

    def do_GET(self):
        self._answer(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self):
        self._answer(json.loads(self._body()))

    def do_PUT(self):
        self._answer(self._body())

    def _body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _answer(self, body):
        path = urlsplit(self.path).path.removeprefix("/api/2.0/").removeprefix("mlflow/")
        before = [known for _, known, _ in self.sent]
        self.sent.append((self.command, path, body))
        found = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "7"}}
            if "experiments/create" in before
            else None,
            "experiments/create": {"experiment_id": "7"},
            "runs/search": {"runs": [RUN]} if "runs/update" in before else {},
            "runs/create": {"run": RUN},
            "registered-models/get": {} if "registered-models/create" in before else None,
            "model-versions/search": {"model_versions": [{"name": "price", "version": "1"}]}
            if "model-versions/create" in before
            else {},
            "model-versions/create": {"model_version": {"version": "1"}},
        }.get(path, {})
        answer = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


RUN = {"info": {"run_id": "r1", "artifact_uri": "mlflow-artifacts:/7/r1/artifacts"}}
FILES = "mlflow-artifacts/artifacts/7/r1/artifacts/"


@pytest.fixture
def recording():
    handler = type("Handler", (Recording,), {"sent": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler.sent, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_is_sent_for_a_version(project, recording):
    sent, uri = recording
    logged = mlflow.log(project, "price", uri=uri, experiment="homes")
    assert logged == mlflow.Logged(
        "r1", "7", "price", "1", f"{uri}/#/experiments/7/runs/r1", True, ("champion-offers",)
    )
    paths = [path for _, path, _ in sent]
    assert [path for path in paths if not path.startswith((FILES, "runs/log-batch"))] == [
        "experiments/get-by-name",
        "experiments/create",
        "runs/search",
        "runs/create",
        "runs/update",
        "registered-models/get",
        "registered-models/create",
        "model-versions/search",
        "model-versions/create",
        "registered-models/alias",
    ]
    assert paths.index("runs/update") > max(n for n, path in enumerate(paths) if path.startswith(FILES))
    bodies = {path: body for _, path, body in sent}
    card, version = project.report("price").to_dict(), project.report("price").version
    made = bodies["runs/create"]
    tags = {each["key"]: each["value"] for each in made["tags"]}
    assert made["experiment_id"] == "7" and made["run_name"] == "price-1"
    assert tags["mainstem.version"] == "price-1" and tags["mainstem.fingerprint"] == version.fingerprint
    assert tags["mainstem.snapshot.homes"] == str(version.snapshots["homes"])
    assert bodies["runs/update"]["status"] == "FINISHED"
    assert bodies["model-versions/create"]["source"] == "mlflow-artifacts:/7/r1/artifacts/model"
    assert bodies["registered-models/alias"] == {"name": "price", "alias": "champion-offers", "version": "1"}
    assert card["id"] in bodies["model-versions/create"]["description"]


def test_metrics_and_parameters_are_those_of_the_card(project, recording):
    sent, uri = recording
    mlflow.log(project, "price", uri=uri)
    assert next(body for _, path, body in sent if path == "experiments/create") == {
        "name": project.settings.project.name
    }
    batches = [body for _, path, body in sent if path == "runs/log-batch"]
    assert {body["run_id"] for body in batches} == {"r1"}
    metrics = {each["key"]: each["value"] for body in batches for each in body.get("metrics", [])}
    params = {each["key"]: each["value"] for body in batches for each in body.get("params", [])}
    card = project.report("price").to_dict()
    for name, found in card["metrics"].items():
        told = (metrics[name], metrics[f"{name}_low"], metrics[f"{name}_high"], metrics[f"naive_{name}"])
        assert told == (found["value"], found["low"], found["high"], found["baseline"])
    assert metrics["rows_cross-validated"] == 160
    assert params["algorithm"] == "linear" and params["evaluation.split"] == card["evaluation"]["split"]


def test_the_uploaded_files_are_those_of_the_artifact(project, recording):
    sent, uri = recording
    mlflow.log(project, "price", uri=uri)
    files = {path.removeprefix(FILES): body for method, path, body in sent if method == "PUT"}
    directory = project.adapters.artifacts / project.report("price").version.artifact
    assert set(files) == {"model/model.onnx", "model/MLmodel", "manifest.json", "evaluation.json", "report.html"}
    for name in ("model.onnx", "manifest.json", "evaluation.json"):
        uploaded = files.get(name) or files[f"model/{name}"]
        assert uploaded == (directory / name).read_bytes()
    assert json.loads(files["model/MLmodel"])["flavors"]["onnx"]["data"] == "model.onnx"
    assert files["report.html"].decode() == project.report("price").html()


def test_a_version_that_was_logged_is_only_named_again(project, recording):
    sent, uri = recording
    first = mlflow.log(project, "price", uri=uri)
    many = len(sent)
    again = mlflow.log(project, "offers", uri=uri)
    assert first.new and not again.new and (first.run, first.version) == (again.run, again.version)
    assert [path for _, path, _ in sent[many:]] == [
        "experiments/get-by-name",
        "runs/search",
        "registered-models/get",
        "model-versions/search",
        "registered-models/alias",
    ]
    asked = sent[many + 1][2]
    assert asked["experiment_ids"] == ["7"] and "tags.`mainstem.version` = 'price-1'" in asked["filter"]
    alone = mlflow.log(project, "price", uri=uri, register=False)
    assert alone.model is None and [path for _, path, _ in sent[-2:]] == ["experiments/get-by-name", "runs/search"]


# ── with a server ─────────────────────────────────────────────────────────────────────────────────────


def program(tmp_path_factory) -> Path:
    if given := os.environ.get("MAINSTEM_MLFLOW"):
        return Path(given)
    home = tmp_path_factory.mktemp("mlflow") / "env"
    import sys

    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [str(home / "bin" / "pip"), "install", "-q", "mlflow>=3.1", "onnx", "onnxruntime"],
    ):
        if subprocess.run(command).returncode:
            pytest.skip("mlflow could not be installed: it needs a package index")
    return home / "bin" / "mlflow"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an MLflow server with a database and artifacts of its own, and its program."""
    mlflow_program, home = program(tmp_path_factory), tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(mlflow_program), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "files")]
    log = (home / "log").open("w")
    own = {**os.environ, "PYTHONPATH": ""}
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=own)
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=2).read()
                break
            except OSError:
                assert process.poll() is None, (home / "log").read_text()
                time.sleep(0.2)
        yield uri, mlflow_program
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
        log.close()


ASKED = """
import json, sys
import mlflow, numpy as np, onnxruntime
client = mlflow.MlflowClient(sys.argv[1])
mlflow.set_tracking_uri(sys.argv[1])
run = client.get_run(sys.argv[2])
version = client.get_model_version_by_alias("price", "champion-offers")
model = mlflow.onnx.load_model("models:/price@champion-offers")
session = onnxruntime.InferenceSession(model.SerializeToString())
feed = {"floats": np.array([[100.0]], np.float32), "strings": np.array([["a"]], object)}
files = [each.path for each in client.list_artifacts(sys.argv[2])]
print(json.dumps({
    "metrics": run.data.metrics, "params": run.data.params, "tags": run.data.tags, "status": run.info.status,
    "version": version.version, "run": version.run_id, "files": files, "score": float(session.run(None, feed)[0][0]),
}))
"""


@pytest.mark.slow
def test_a_version_is_logged_registered_and_loaded_by_mlflow(project, server):
    uri, mlflow_program = server
    logged = mlflow.log(project, "price", uri=uri, experiment="homes")
    assert logged.new and logged.model == "price" and logged.version == "1" and logged.aliases == ("champion-offers",)
    command = [str(mlflow_program.parent / "python"), "-c", ASKED, uri, logged.run]
    own = {**os.environ, "PYTHONPATH": ""}
    found = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True, env=own).stdout.splitlines()[-1]
    )
    card = project.report("price").to_dict()
    assert found["metrics"]["rmse"] == pytest.approx(card["metrics"]["rmse"]["value"])
    assert found["metrics"]["rmse_low"] <= found["metrics"]["rmse"] < found["metrics"]["naive_rmse"]
    assert found["params"]["algorithm"] == "linear" and found["params"]["evaluation.split"] == "at random, stratified"
    assert found["tags"]["mainstem.version"] == "price-1" and found["status"] == "FINISHED"
    assert found["run"] == logged.run
    assert {"model", "report.html", "manifest.json", "evaluation.json"} <= set(found["files"])
    (answer,) = project.predict("price", [{"area": 100.0, "city": "a"}])
    assert found["score"] == pytest.approx(answer["score"], rel=1e-5)


@pytest.mark.slow
def test_a_version_is_logged_once(project, server):
    uri, _ = server
    first = mlflow.log(project, "price-1", uri=uri, experiment="twice", registered_name="homes.price")
    again = mlflow.log(project, "offers", uri=uri, experiment="twice", registered_name="homes.price")
    assert first.new and not again.new
    assert (first.run, first.version, first.aliases) == (again.run, again.version, again.aliases)
    alone = mlflow.log(project, "price-1", uri=uri, experiment="alone", register=False)
    assert alone.model is None and alone.version is None and alone.aliases == ()
