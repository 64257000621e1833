"""Log versions of models to an MLflow server, and register them there.

It speaks MLflow's REST API, so no package is needed. A version is logged once: it is found again by its tag.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mainstem.errors import DefinitionError
from mainstem.integrations.rest import Api
from mainstem.masking import remember, remember_password
from mainstem.models.artifact.evaluation import EVALUATION
from mainstem.models.artifact.manifest import FILE, MODEL, Manifest, read
from mainstem.nodes.records import ModelVersion
from mainstem.project.report import version_of

if TYPE_CHECKING:
    from mainstem.project.project import Project

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"

VERSION, LAKE = "mainstem.version", "mainstem.lake"
"""The tags by which a version is found again."""

MOST_METRICS, MOST_PARAMETERS, LONGEST_PARAMETER = 1_000, 100, 6_000
"""What MLflow takes in one request, and of one parameter."""


@dataclass(frozen=True)
class Logged:
    """Where a version is in MLflow: the run, and the registered model with its version there. `new`: it was logged
    now. `aliases` are those that were set."""

    run: str
    experiment: str
    model: str | None
    version: str | None
    url: str
    new: bool
    aliases: tuple[str, ...] = ()


def log(
    project: Project,
    name: str,
    *,
    uri: str | None = None,
    experiment: str | None = None,
    register: bool = True,
    registered_name: str | None = None,
) -> Logged:
    """Log a version to an MLflow server: its measures, settings, artifact and report; and register it.

    `name` is a version's id, a model (its newest version) or an endpoint (its champion). `uri` is the server; without
    it, MLFLOW_TRACKING_URI. MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,
    authenticate. `experiment` and `registered_name` are by default the project's and the model's name. The registered
    version is called `champion-ENDPOINT` for each endpoint that it is the champion of. A version that was logged is not
    logged again; its aliases are set anew.

    Raises `DefinitionError` without a server, `NotFound` for an unknown version, and `StorageError` if the server
    cannot be reached or refuses.
    """
    server = _server(uri)
    version = version_of(project, name)
    directory = project.adapters.artifacts / version.artifact
    manifest = read(directory)
    group = experiment or project.settings.project.name
    tags = {VERSION: version.id, LAKE: project.adapters.lake.identity.id}
    home = _experiment(server, group)
    found = _logged(server, home, tags)
    run = found or _run(server, home, version, manifest, tags)
    if found is None:
        _artifacts(server, run, directory, project.report(version.id).html(), manifest)
        done = {"run_id": run["info"]["run_id"], "status": "FINISHED", "end_time": _millis(version)}
        server.post("runs/update", done)
    id = run["info"]["run_id"]
    url = f"{server.uri}/#/experiments/{home}/runs/{id}"
    if not register:
        return Logged(id, home, None, None, url, found is None)
    model = registered_name or version.model
    number = _registered(server, model, run, version, tags)
    aliases = tuple(_aliased(server, project, model, number, version))
    return Logged(id, home, model, number, url, found is None, aliases)


def _server(uri: str | None) -> Api:
    found = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not found or not found.startswith(("http://", "https://")):
        raise DefinitionError(
            "no MLflow server is named" if not found else "MLflow is not named by the address of a server",
            got=found,
            expected="http://127.0.0.1:5000",
            hint="uri=…, or the variable MLFLOW_TRACKING_URI; a directory is served by: mlflow server",
        )
    names = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    token, user, password = (os.environ.get(name) for name in names)
    for secret in (token, password):
        if secret:
            remember(secret)
    given = (user, password or "") if user else None
    own, address = _apart(found)
    return Api(address.rstrip("/"), "/api/2.0/mlflow", None if own else token, own or given)


def _apart(uri: str) -> tuple[tuple[str, str] | None, str]:
    """Return the user and password that an address has, and the address without them, as errors and `url` show it."""
    remember_password(uri)
    parts = urlsplit(uri)
    if parts.username is None:
        return None, uri
    host = parts.netloc.rpartition("@")[2]
    return (unquote(parts.username), unquote(parts.password or "")), parts._replace(netloc=host).geturl()


def _experiment(server: Api, name: str) -> str:
    found = server.get("experiments/get-by-name", {"experiment_name": name}, missing=True)
    if found is not None:
        return str(found["experiment"]["experiment_id"])
    return str(server.post("experiments/create", {"name": name})["experiment_id"])


def _logged(server: Api, experiment: str, tags: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the finished run of a version; None without one. A run that was interrupted is logged anew."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    asked = {"experiment_ids": [experiment], "filter": f"{wanted} and attributes.status = 'FINISHED'", "max_results": 1}
    runs: list[dict[str, Any]] = server.post("runs/search", asked).get("runs", [])
    return runs[0] if runs else None


def _run(
    server: Api, experiment: str, version: ModelVersion, manifest: Manifest, tags: Mapping[str, str]
) -> dict[str, Any]:
    more = {
        **tags,
        "mainstem.run": version.run,
        "mainstem.fingerprint": version.fingerprint,
        "mainstem.sha256": manifest.sha256,
        **{f"mainstem.snapshot.{name}": str(id) for name, id in version.snapshots.items()},
    }
    made: dict[str, Any] = server.post(
        "runs/create",
        {
            "experiment_id": experiment,
            "run_name": version.id,
            "start_time": _millis(version),
            "tags": [{"key": key, "value": value} for key, value in more.items()],
        },
    )["run"]
    id = made["info"]["run_id"]
    metrics, parameters = list(_metrics(version)), list(_parameters(version, manifest))
    for at in range(0, max(len(metrics), 1), MOST_METRICS):
        server.post("runs/log-batch", {"run_id": id, "metrics": metrics[at : at + MOST_METRICS]})
    for at in range(0, len(parameters), MOST_PARAMETERS):
        server.post("runs/log-batch", {"run_id": id, "params": parameters[at : at + MOST_PARAMETERS]})
    return made


def _metrics(version: ModelVersion) -> Iterator[dict[str, Any]]:
    usual = {"timestamp": _millis(version), "step": version.number}
    for prefix, measures in (("", version.metrics), ("naive_", version.baseline)):
        for name, measure in measures.items():
            ends = {"": measure.value, "_low": measure.low, "_high": measure.high}
            yield from ({"key": f"{prefix}{name}{end}", "value": value, **usual} for end, value in ends.items())
    for name, rows in version.rows.items():
        yield {"key": f"rows_{name}".replace(" ", "_"), "value": rows, **usual}


def _parameters(version: ModelVersion, manifest: Manifest) -> Iterator[dict[str, str]]:
    found = {"task": version.task, "algorithm": version.algorithm, "metric": version.metric}
    found |= {f"settings.{name}": str(value) for name, value in manifest.settings.items()}
    found |= {f"evaluation.{name}": value for name, value in manifest.evaluation.items()}
    for key, value in found.items():
        kept = "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in key)[:250]
        yield {"key": kept, "value": value[:LONGEST_PARAMETER]}


def _artifacts(server: Api, run: Mapping[str, Any], directory: Path, report: str, manifest: Manifest) -> None:
    """Upload the report, and the model in the form that `mlflow.onnx` loads."""
    files = {
        f"model/{MODEL}": (directory / MODEL).read_bytes(),
        "model/MLmodel": _flavour(run, manifest).encode(),
        FILE: (directory / FILE).read_bytes(),
        "report.html": report.encode(),
    }
    if (directory / EVALUATION).is_file():
        files[EVALUATION] = (directory / EVALUATION).read_bytes()
    root = str(run["info"]["artifact_uri"])
    scheme, _, place = root.partition(":/")
    if scheme != "mlflow-artifacts":
        raise DefinitionError(
            "the MLflow server does not take artifacts",
            got=root,
            expected="mlflow-artifacts:/…",
            hint="mlflow server --serve-artifacts, and an experiment that was made by it",
        )
    for name, content in files.items():
        server.put(f"{ARTIFACTS}/{place.lstrip('/')}/{name}", content)


def _flavour(run: Mapping[str, Any], manifest: Manifest) -> str:
    import json

    onnx = {"data": MODEL, "providers": ["CPUExecutionProvider"], "code": None}
    onnx["onnx_version"] = manifest.versions.get("onnx", "")
    made = {
        "artifact_path": "model",
        "flavors": {"onnx": onnx, "python_function": {"loader_module": "mlflow.onnx", "data": MODEL, "env": {}}},
        "run_id": run["info"]["run_id"],
        "utc_time_created": f"{manifest.created_at:%Y-%m-%d %H:%M:%S.%f}",
        "metadata": {"mainstem": f"{manifest.model}-{manifest.number}"},
    }
    return json.dumps(made, indent=1)  # JSON is YAML


def _registered(server: Api, model: str, run: Mapping[str, Any], version: ModelVersion, tags: Mapping[str, str]) -> str:
    """Return the number of the version in the registry, which is made unless it is there."""
    if server.get("registered-models/get", {"name": model}, missing=True) is None:
        server.post("registered-models/create", {"name": model})
    id = run["info"]["run_id"]
    found = server.get("model-versions/search", {"filter": f"run_id = '{id}'", "max_results": "10"}) or {}
    for each in found.get("model_versions", []):
        if each["name"] == model:
            return str(each["version"])
    asked = {
        "name": model,
        "source": f"{run['info']['artifact_uri']}/model",
        "run_id": id,
        "description": f"{version.id}, trained by Mainstem",
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    return str(server.post("model-versions/create", asked)["model_version"]["version"])


def _aliased(server: Api, project: Project, model: str, number: str, version: ModelVersion) -> Iterator[str]:
    for endpoint, bound in project.release.endpoints.items():
        if bound.champion == version.id:
            alias = f"champion-{endpoint}"
            server.post("registered-models/alias", {"name": model, "alias": alias, "version": number})
            yield alias


def _millis(version: ModelVersion) -> int:
    return int(version.created_at.timestamp() * 1_000)
