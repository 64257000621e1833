"""Files that deploy a project: what they say, and whether Docker's, Compose's and Kubernetes' linters accept them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mainstem.errors import MainstemError, RequestError
from mainstem.project.deploying.files import scheduled
from mainstem.project.project import load

SECRET = "w0rd-that-no-file-has"
PROJECT = """
import mainstem as ms

sales = ms.files("sales.csv", key="id", schema={"id": "int64", "units": "int64", "shop": "string"})
clicks = ms.stream("clicks", schema={"id": "string", "at": "timestamp('UTC', 6)"}, time="at")
wide = ms.database("mysql://me:${env:SHOP_PASSWORD}@db/shop", table="wide", key="id", schema={"id": "int64"})
busy = ms.model(sales, target="units", features=["shop"], candidates=["linear", ms.xgboost()], tune=5)
door = ms.endpoint(busy)
out = ms.sink(sales, to=ms.database("postgresql://${env:OUT_USER}@db/out", table="sales"))
"""
SETTINGS = """
[project]
name = "Shop & Söhne"
modules = ["shop"]

[profile.production]
online = "redis://:${env:REDIS_PASSWORD}@redis:6379/0"
state = "postgresql://${env:STATE_USER}@db/state"
lake = "/data/lake"

[serve]
port = 9000
drain_timeout = "45s"
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SHOP_PASSWORD", "OUT_USER", "REDIS_PASSWORD", "STATE_USER"):
        monkeypatch.setenv(name, SECRET)
    (tmp_path / "shop.py").write_text(PROJECT)
    (tmp_path / "mainstem.toml").write_text(SETTINGS)
    (tmp_path / "sales.csv").write_text("id,units,shop\n1,2,a\n")
    return tmp_path


def deployed(root: Path, profile: str | None = None, **options: Any) -> dict[str, str]:
    with load(root, profile=profile) as project:
        written, place = project.deploy_files(**options)
    return {name: (place / name).read_text() for name in written}


def program(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"{name} is not installed: make install"
    return found


def lint(*command: str) -> None:
    done = subprocess.run([program(command[0]), *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profile", [None, "production"])
@pytest.mark.parametrize("requirements", [False, True])
def test_the_linters_accept_them(root: Path, profile: str | None, requirements: bool) -> None:
    if requirements:
        (root / "requirements.txt").write_text("holidays==0.60\n")
    texts = deployed(root, profile, replicas=3 if profile else 1)
    lint("hadolint", str(root / "deploy" / "Dockerfile"))
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(root / "deploy" / "compose.yaml"))
    lint("kubernetes-validate", "--strict", str(root / "deploy" / "kubernetes.yaml"))
    assert ("-r requirements.txt" in texts["Dockerfile"]) == requirements


def test_a_linter_refuses_what_is_wrong(root: Path) -> None:
    """So the test above can fail."""
    deployed(root)
    file = root / "deploy" / "kubernetes.yaml"
    file.write_text(file.read_text().replace("replicas: 1", "replicsa: 1"))
    with pytest.raises(AssertionError, match="replicsa"):
        lint("kubernetes-validate", "--strict", str(file))
    (root / "deploy" / "Dockerfile").write_text("FROM python\nRUN cd x && pip install mainstem\n")
    with pytest.raises(AssertionError, match="DL30"):
        lint("hadolint", str(root / "deploy" / "Dockerfile"))


def test_secrets_are_references(root: Path) -> None:
    texts = deployed(root, "production")
    assert not any(SECRET in text for text in texts.values())
    names = ["OUT_USER", "REDIS_PASSWORD", "SHOP_PASSWORD", "STATE_USER"]
    compose = yaml.safe_load(texts["compose.yaml"])
    assert list(compose["services"]["server"]["environment"]) == ["MAINSTEM_PROFILE", *names]
    assert compose["services"]["server"]["environment"]["OUT_USER"].startswith("${OUT_USER:?")
    deployment = next(each for each in yaml.safe_load_all(texts["kubernetes.yaml"]) if each["kind"] == "Deployment")
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    assert [each["valueFrom"]["secretKeyRef"]["key"] for each in server["env"][1:]] == names


def test_the_variables_of_other_profiles_are_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_PASSWORD")
    assert "REDIS_PASSWORD" not in json.dumps(deployed(root))


def test_what_the_project_needs_is_installed(root: Path) -> None:
    one, many = deployed(root)["Dockerfile"], deployed(root, "production", directory=root / "many")["Dockerfile"]
    assert "mainstem[database,learn,mysql,serve,tune,xgboost]==0.1.0" in one
    assert "mainstem[database,learn,mysql,postgres,redis,serve,tune,xgboost]==0.1.0" in many
    assert "libgomp1" in one and "jre" not in one
    assert "EXPOSE 9000" in one


def test_notifications_need_apprise_and_their_urls(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_URL", f"slack://{SECRET}")
    (root / "mainstem.toml").write_text(SETTINGS + '[notify]\nurls = ["${env:SLACK_URL}"]\n')
    written = deployed(root)
    assert "notify" in written["Dockerfile"] and "SLACK_URL" in written["compose.yaml"]
    assert not any(SECRET in text for text in written.values())


def test_files_of_state_have_one_server_and_share_its_processes(root: Path) -> None:
    texts = deployed(root)
    deployment = next(each for each in yaml.safe_load_all(texts["kubernetes.yaml"]) if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert pod["shareProcessNamespace"] and [each["name"] for each in pod["containers"]] == ["server", "runs"]
    assert pod["terminationGracePeriodSeconds"] == 60
    compose = yaml.safe_load(texts["compose.yaml"])["services"]
    assert compose["runs"]["pid"] == "service:server"
    assert compose["runs"]["volumes"] == compose["server"]["volumes"] == ["data1:/project/.mainstem"]
    assert ".mainstem" in texts["Dockerfile.dockerignore"].splitlines()


def test_shared_state_has_several_servers_and_a_schedule(root: Path) -> None:
    documents = list(yaml.safe_load_all(deployed(root, "production", replicas=3, every="6h")["kubernetes.yaml"]))
    found = {each["kind"]: each["spec"] for each in documents}
    assert found["Deployment"]["replicas"] == 3
    assert found["CronJob"]["schedule"] == "0 */6 * * *" and found["CronJob"]["concurrencyPolicy"] == "Forbid"
    assert found["PersistentVolumeClaim"]["accessModes"] == ["ReadWriteMany"]
    (server,) = found["Deployment"]["template"]["spec"]["containers"]
    assert server["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    (mount,) = server["volumeMounts"]
    assert mount["mountPath"] == "/data/lake"
    assert documents[0]["metadata"]["name"] == "shop-s-hne"


def test_several_servers_of_one_file_are_refused(root: Path) -> None:
    with pytest.raises(RequestError, match="keeps its state in files"):
        deployed(root, replicas=2)
    assert not (root / "deploy").exists()


def test_a_changed_file_is_kept(root: Path) -> None:
    deployed(root)
    deployed(root)  # the same text again
    (root / "deploy" / "compose.yaml").write_text("# mine\n")
    with pytest.raises(RequestError, match="another text") as caught:
        deployed(root, every="1d")
    assert "compose.yaml" in str(caught.value.where)
    assert (root / "deploy" / "compose.yaml").read_text() == "# mine\n"


def test_data_beside_the_projects_files_is_refused(root: Path) -> None:
    file = root / "mainstem.toml"
    file.write_text(file.read_text().replace('lake = "/data/lake"', 'lake = "."'))
    with pytest.raises(MainstemError, match="beside the project"):
        deployed(root, "production")


@pytest.mark.parametrize(("every", "schedule"), [("15min", "*/15 * * * *"), ("1h", "0 */1 * * *"), ("1d", "0 0 * * *")])
def test_the_time_between_runs_is_a_schedule(every: str, schedule: str) -> None:
    assert scheduled(every)[1] == schedule


@pytest.mark.parametrize("every", ["7min", "90min", "5h", "2d", "30s", "often", ""])
def test_a_time_that_no_schedule_has_is_refused(every: str) -> None:
    with pytest.raises(RequestError) as caught:
        scheduled(every)
    assert "6h" in str(caught.value.expected)
