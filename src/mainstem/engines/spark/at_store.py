"""Spark at an S3 store: its workers read and write there by Hadoop's `s3a`, and this process by its mirror.

The magic committer completes a file's upload when the job is complete. So a worker or a driver that is killed leaves no
file. Then the store copies each file to its name in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

_SDK = {"3.4.1": "2.24.6", "3.4.2": "2.29.52"}
"""The version of Amazon's SDK by that of Hadoop. Its parts are 14 MB; the bundle that Hadoop names is 640 MB."""

_HADOOP = "3.4.2"
"""The version of Hadoop in pyspark 4.1, where the installed one does not tell."""

_NOT_NEEDED = (
    "software.amazon.awssdk:bundle",
    "org.apache.hadoop:hadoop-cloud-storage",
    "org.apache.hadoop:hadoop-azure",
    "org.apache.hadoop:hadoop-client-api",
    "org.apache.hadoop:hadoop-client-runtime",
    "org.apache.hadoop:hadoop-huaweicloud",
    "com.google.cloud.bigdataoss:*",
    "com.fasterxml.jackson.core:*",
    "com.fasterxml.jackson.dataformat:*",
    "com.google.code.findbugs:*",
    "commons-codec:*",
    "commons-logging:*",
    "io.netty:*",
    "joda-time:*",
    "org.apache.httpcomponents:*",
    "org.eclipse.jetty:*",
    "org.scala-lang:*",
    "org.slf4j:*",
    "org.xerial.snappy:*",
)
"""What the packages name, and Spark has itself or an S3 store does not need."""

ATTEMPTS = 5
"""How often a request is sent again that the store answers with 503 or not at all, after the SDK's own attempts."""

_COMMITTING = {
    "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
    "mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory",
}


class Entry(Protocol):
    @property
    def name(self) -> str: ...


class Place(Protocol):
    """The lake's place, as far as Spark needs it. Names are relative to `root`, which is the mirror."""

    @property
    def root(self) -> Path: ...

    @property
    def where(self) -> str: ...

    def share(self, names: Iterable[str]) -> None: ...

    def fetch(self, names: Iterable[str]) -> None: ...

    def listing(self, folder: str) -> Iterator[Any]: ...

    def move(self, name: str, to: str) -> None: ...

    def drop(self, folder: str) -> None: ...


class AtStore:
    """The files of a lake at an S3 store, with the settings of the store, as the profile has them."""

    def __init__(self, place: Place, storage: Mapping[str, str]) -> None:
        self._place, self._storage = place, storage
        self._base = place.where.partition("://")[2]

    @cached_property
    def settings(self) -> Mapping[str, str]:
        """Settings that hold for the lake's bucket only: its keys are not sent elsewhere."""
        mine = f"fs.s3a.bucket.{self._base.partition('/')[0]}."
        return _COMMITTING | {mine + name: value for name, value in _options(self._storage).items()}

    def at_start(self) -> Mapping[str, str]:
        found = _installed()
        if found.get("hadoop-aws"):
            return {}
        import pyspark

        hadoop = found.get("hadoop-client-api", _HADOOP)
        packages = [
            f"org.apache.hadoop:hadoop-aws:{hadoop}",
            f"org.apache.spark:spark-hadoop-cloud_2.13:{pyspark.__version__}",
        ]
        without = list(_NOT_NEEDED)
        if sdk := _SDK.get(hadoop):
            packages += [f"software.amazon.awssdk:{part}:{sdk}" for part in ("s3-transfer-manager", "sts")]
        else:
            without.remove("software.amazon.awssdk:bundle")
        return {"spark.jars.packages": ",".join(packages), "spark.jars.excludes": ",".join(without)}

    def url(self, path: str | Path) -> str:
        return f"s3a://{self._base}/{self._name(path)}"

    def share(self, paths: Iterable[str | Path]) -> None:
        self._place.share([self._name(path) for path in paths])

    def parts(self, directory: Path) -> list[Path]:
        folder = self._name(directory)
        names = [each.name for each in self._place.listing(folder) if each.name.endswith(".parquet")]
        self._place.fetch(names)
        return sorted(self._place.root / name for name in names)

    def move(self, path: Path, to: Path) -> None:
        self._place.move(self._name(path), self._name(to))

    def drop(self, directory: Path) -> None:
        with suppress(OSError):  # what is left there is deleted by garbage collection
            self._place.drop(self._name(directory))

    def _name(self, path: str | Path) -> str:
        return Path(path).relative_to(self._place.root).as_posix()


def _options(storage: Mapping[str, str]) -> dict[str, str]:
    """Return the options of Hadoop's `s3a` for the settings of a store."""
    own = {
        "committer.name": "magic",
        "attempts.maximum": "3",
        "retry.limit": str(ATTEMPTS),
        "retry.throttle.limit": str(ATTEMPTS),
    }
    names = {
        "access_key": "access.key",
        "secret_key": "secret.key",
        "session_token": "session.token",
        "region": "endpoint.region",
        "endpoint": "endpoint",
        "role": "assumed.role.arn",
    }
    own |= {names[name]: value for name, value in storage.items() if name in names}
    if "endpoint" in storage:
        own["path.style.access"] = "true"
        own["connection.ssl.enabled"] = str(not storage["endpoint"].startswith("http://")).lower()
    providers = "org.apache.hadoop.fs.s3a"
    if storage.get("anonymous", "").lower() in ("true", "1", "yes"):
        own["aws.credentials.provider"] = f"{providers}.AnonymousAWSCredentialsProvider"
    elif "role" in storage:
        own["aws.credentials.provider"] = f"{providers}.auth.AssumedRoleCredentialProvider"
    elif "session_token" in storage:
        own["aws.credentials.provider"] = f"{providers}.TemporaryAWSCredentialsProvider"
    return own


def _installed() -> dict[str, str]:
    """Return the versions of the jars named `hadoop-…` that Spark has itself."""
    from pyspark.find_spark_home import _find_spark_home

    home = _find_spark_home()  # type: ignore[no-untyped-call]
    jars = (path.stem.rpartition("-") for path in Path(str(home), "jars").glob("hadoop-*.jar"))
    return {name: version for name, _, version in jars}
