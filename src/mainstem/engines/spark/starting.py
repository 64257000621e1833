"""The Spark session of a process: started once, or reached by Spark Connect."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ALWAYS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.timeType.enabled": "true",
    # A product of decimals has all its digits, or is an error.
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.parquet.fieldId.read.enabled": "true",
    "spark.sql.parquet.fieldId.write.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    # An instant before 1900 or a date before 1582 is written as it is.
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    # The analysis of a view with chained statistics takes more than the 100 rounds that Spark allows.
    "spark.sql.analyzer.maxIterations": "1000",
}
"""Settings of a session that results depend on."""

_LOCAL = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
_JARS = {"spark.jars", "spark.jars.packages", "spark.driver.extraClassPath"}
"""Settings by which a user says which jars there are."""

_lock = threading.Lock()


def start(
    master: str,
    settings: Mapping[str, str],
    memory: str | None = None,
    own: Callable[[], Mapping[str, str]] = dict,
) -> SparkSession:
    """Return the process's Spark session at `master`: `local[*]`, a cluster's URL, or `sc://HOST` for Spark Connect.

    It is started once, with the settings `own()` too if `settings` names no jars.

    Raises `MissingExtra` without pyspark, and `EngineError` if there is no Java or no such master.
    """
    try:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError:
        raise MissingExtra.named("spark", "pyspark") from None
    with _lock:
        builder = SparkSession.builder.appName("mainstem")
        for name, value in {**ALWAYS, **settings}.items():
            builder = builder.config(name, value)
        if master.startswith("sc://"):
            return builder.remote(master).getOrCreate()
        if (begun := SparkContext._active_spark_context) is not None:
            if begun.master != master:
                raise EngineError(
                    "this process has a Spark session at another master",
                    got=begun.master,
                    expected=master,
                    hint="a process has one session of Spark: use another process",
                )
            return builder.getOrCreate()
        require_java()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        jars = {} if _JARS & settings.keys() else own()
        for name, value in {**_own(master, memory), **jars}.items():
            if name not in settings:
                builder = builder.config(name, value)
        logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # a failed query is reported once
        with _aside() as said:
            try:
                return builder.master(master).getOrCreate()
            except Exception as error:
                got = _last(said()) or _first(str(error))
                raise EngineError("Spark does not start", where=master, got=got, hint=_HINT) from error


_HINT = "see [profile.NAME.spark] in mainstem.toml; spark.master is local[*], spark://…, yarn, k8s://… or sc://…"


@contextmanager
def _aside() -> Iterator[Callable[[], str]]:
    """Let the Java process that starts meanwhile write to a file instead of the terminal. Yield what it wrote so far.

    It greets with several lines of which none is of use. Spark's errors reach this process as exceptions.
    """
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 100_000, 0).decode(errors="replace")
        finally:
            os.dup2(before, 2)
            os.close(before)


def _own(master: str, memory: str | None) -> dict[str, str]:
    log = Path(__file__).with_name("log4j2.properties")
    own = {"spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log.as_uri()}"}
    if memory:
        own["spark.driver.memory"] = memory.replace(" ", "").replace("iB", "").replace("B", "").lower()
    if master.startswith("local"):
        own |= _LOCAL
        own.setdefault("spark.driver.memory", f"{_half_of_memory()}m")  # Spark's own default is 1 GB for everything
        # One task per core and no more: a shuffle of 200 small tasks costs seconds.
        own["spark.sql.shuffle.partitions"] = str(max(os.cpu_count() or 1, 2))
    return own


def _half_of_memory() -> int:
    """Return half of the machine's memory in MiB, at least 1 GiB."""
    return max(1_024, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**21)


def require_java() -> None:
    """Raise `EngineError` if this machine has no Java."""
    home = os.environ.get("JAVA_HOME")
    if (home and (Path(home) / "bin" / "java").exists()) or shutil.which("java"):
        return
    raise EngineError(
        "Spark needs Java, and there is none",
        got=f"JAVA_HOME={home or ''}, and no java on the PATH",
        expected="Java 17 or later",
        hint='install it (Debian: apt-get install openjdk-17-jre-headless), or reach a cluster by spark.master = "sc://…"',
    )


def _last(said: str) -> str:
    """Return the last line that names an error."""
    return next(
        (line.strip()[:300] for line in reversed(said.splitlines()) if "rror" in line or "xception" in line), ""
    )


def _first(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), message)[:300]
