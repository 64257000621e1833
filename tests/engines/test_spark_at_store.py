"""The settings of Spark for a lake at an object store: keys that hold for its bucket only, and missing packages."""

from pathlib import Path

import pytest

from mainstem.engines.spark import at_store
from mainstem.engines.spark.at_store import AtStore
from mainstem.engines.spark.failures import explain
from mainstem.errors import EngineError, SettingsError, StorageError
from mainstem.lake.places.remote import Remote
from mainstem.project import factories
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

STORAGE = {"access_key": "mine", "secret_key": "hidden", "region": "eu-central-1"}


def files(storage: dict[str, str], url: str = "s3://company-lake/flights") -> AtStore:
    return AtStore(Remote(url, storage, Path("/mirror")), storage)


def test_keys_are_for_the_bucket_of_the_lake_only():
    found = files(STORAGE).settings
    assert found["fs.s3a.bucket.company-lake.access.key"] == "mine"
    assert found["fs.s3a.bucket.company-lake.secret.key"] == "hidden"
    assert found["fs.s3a.bucket.company-lake.endpoint.region"] == "eu-central-1"
    assert [name for name, value in found.items() if value in ("mine", "hidden")] == [
        "fs.s3a.bucket.company-lake.access.key",
        "fs.s3a.bucket.company-lake.secret.key",
    ]
    assert not [name for name in found if "path.style" in name or "endpoint" in name.removesuffix("endpoint.region")]


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ({"role": "arn:aws:iam::1:role/lake"}, "auth.AssumedRoleCredentialProvider"),
        ({**STORAGE, "session_token": "t"}, "TemporaryAWSCredentialsProvider"),
        ({"anonymous": "true"}, "AnonymousAWSCredentialsProvider"),
        ({"anonymous": "false"}, None),
        (STORAGE, None),
    ],
)
def test_who_asks(storage, expected):
    found = files(storage).settings.get("fs.s3a.bucket.company-lake.aws.credentials.provider", "")
    assert found == (f"org.apache.hadoop.fs.s3a.{expected}" if expected else "")


@pytest.mark.parametrize(("endpoint", "tls"), [("http://127.0.0.1:9000", "false"), ("https://minio:9000", "true")])
def test_a_server_of_ones_own_is_asked_by_paths(endpoint, tls):
    found = files({**STORAGE, "endpoint": endpoint}).settings
    mine = "fs.s3a.bucket.company-lake."
    assert (found[mine + "endpoint"], found[mine + "path.style.access"]) == (endpoint, "true")
    assert found[mine + "connection.ssl.enabled"] == tls


def test_a_path_of_the_mirror_is_a_url_of_the_store():
    path = "/mirror/tables/legs__1/data/a.parquet"
    assert files(STORAGE).url(path) == "s3a://company-lake/flights/tables/legs__1/data/a.parquet"


@pytest.mark.parametrize(
    ("installed", "packages", "bundle"),
    [
        ({"hadoop-client-api": "3.4.2"}, "hadoop-aws:3.4.2,", "left out"),
        ({"hadoop-client-api": "3.9.9"}, "hadoop-aws:3.9.9,", "used"),
        ({"hadoop-client-api": "3.4.2", "hadoop-aws": "3.4.2"}, "", ""),
    ],
)
def test_packages_are_of_the_version_that_spark_has(monkeypatch, installed, packages, bundle):
    monkeypatch.setattr(at_store, "_installed", lambda: installed)
    found = files(STORAGE).at_start()
    assert packages in found.get("spark.jars.packages", "")
    assert ("awssdk:s3-transfer-manager" in found.get("spark.jars.packages", "")) == (bundle == "left out")
    assert ("awssdk:bundle" in found.get("spark.jars.excludes", "")) == (bundle == "left out")


def test_the_installed_spark_has_a_version_of_hadoop_whose_packages_are_known():
    assert at_store._installed()["hadoop-client-api"] in at_store._SDK


def settings(tmp_path: Path, lake: str, master: str) -> Settings:
    profile = Profile(lake=lake, catalog="postgresql://h/c", engine="spark", spark={"master": master})
    return Settings(tmp_path, ProjectSettings("p", ()), profile, "default", Serve())


def test_a_cluster_needs_a_lake_that_its_workers_reach(tmp_path):
    with pytest.raises(SettingsError, match="workers cannot reach this lake") as caught:
        factories.engine(settings(tmp_path, "gs://lake/x", "spark://head:7077"))
    assert "s3://" in (caught.value.expected or "")
    factories.engine(settings(tmp_path, "gs://lake/x", "local[2]"))
    factories.engine(settings(tmp_path, "s3://lake/x", "spark://head:7077"))


@pytest.mark.parametrize(
    ("message", "kind", "what", "passes"),
    [
        (
            "An error occurred.\n: org.apache.hadoop.fs.s3a.AWSServiceThrottledException: x: SlowDown (Service: S3)",
            StorageError,
            "the object store is busy",
            True,
        ),
        ("Unable to execute HTTP request: Connect refused", StorageError, "the object store is busy", True),
        ("ExecutorLostFailure (executor 1 exited)", EngineError, "a worker of Spark has ended", True),
        (
            "java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem not found",
            EngineError,
            "Spark cannot reach the object store",
            False,
        ),
        ("Answer from Java side is empty", EngineError, "Spark has ended", False),
    ],
)
def test_failures_of_stores_and_workers(message, kind, what, passes):
    found = explain(message, "SELECT 1")
    assert isinstance(found, kind) and what in str(found) and found.transient == passes
