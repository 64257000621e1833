"""Convert Spark's exceptions to Mainstem's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mainstem.errors import EngineError, MainstemError, StorageError

_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_BUSY = (
    "Status Code: 503",
    "Status Code: 500",
    "SlowDown",
    "SLOW_DOWN",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_FAILURE",
    "NETWORK_CONNECTION",
    "AWSServiceThrottledException",
    "Unable to execute HTTP request",
)
"""What messages have of an object store that is overloaded, or cannot be reached: Hadoop's, and pyarrow's."""

_ENDED = ("ExecutorLostFailure", "Python worker exited unexpectedly", "Executor heartbeat timed out")
"""What Spark says of a task whose process has ended."""

_GONE = ("Answer from Java side is empty", "Error while sending or receiving", "SparkContext was shut down")

_NO_JARS = ("S3AFileSystem not found", "PathOutputCommitProtocol", 'No FileSystem for scheme "s3a"')

_CLASS = re.compile(r"^\[([A-Z0-9_.]+)\]\s*")
_UNFIT = (
    'one value does not fit its type; _.column.try_cast("int64") gives null in its place, '
    "a filter or a check with severity='quarantine' in an earlier table sets the row aside"
)
_HINTS = {"CAST_": _UNFIT, "ARITHMETIC_OVERFLOW": _UNFIT, "NUMERIC_VALUE_OUT_OF_RANGE": _UNFIT}


@contextmanager
def explained(query: str) -> Iterator[None]:
    """Raise exceptions of Spark, and of the files that it shares, as `EngineError` or `StorageError`."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from sqlglot.errors import SqlglotError

    try:
        yield
    except MainstemError:
        raise
    except (PySparkException, Py4JError, SqlglotError) as error:
        raise explain(str(error), query) from error
    except OSError as error:
        raise _of_files(str(error)) from error


def explain(message: str, query: str) -> MainstemError:
    """Return the error for Spark's `message` on `query`."""
    if any(text in message for text in _FULL):
        return StorageError("the disk is full", got=_first(message), hint="free some space and run again")
    if any(sign in message for sign in _BUSY):
        return _of_files(next(line for line in message.splitlines() if any(sign in line for sign in _BUSY)))
    if lines := [line.strip() for line in message.splitlines() if any(sign in line for sign in _ENDED)]:
        lost = "the machine may lack memory; nothing was published"
        return EngineError(
            "a worker of Spark has ended", where=_excerpt(query), got=lines[0][:300], hint=lost
        ).passing()
    if any(sign in message for sign in _GONE):
        return EngineError("Spark has ended", where=_excerpt(query), got=_first(message), hint="run again")
    if any(sign in message for sign in _NO_JARS):
        needed = "Spark needs the packages hadoop-aws and spark-hadoop-cloud from its start: see docs/spark.md"
        return EngineError("Spark cannot reach the object store of the lake", got=_first(message), hint=needed)
    what = _said(message)
    kind = found[1] if (found := _CLASS.match(what)) else ""
    hint = next((hint for begin, hint in _HINTS.items() if kind.startswith(begin)), None)
    return EngineError("the engine refused the query", where=_excerpt(query), got=_CLASS.sub("", what), hint=hint)


def _of_files(message: str) -> StorageError:
    if any(sign in message for sign in _BUSY):
        hint = "the object store was asked several times; try again later, or with fewer workers"
        return StorageError("the object store is busy", got=_first(message)[:300], hint=hint).passing()
    return StorageError("files that Spark uses cannot be read or written", got=_first(message)[:300])


def _said(message: str) -> str:
    """Return what Spark says of its cause, which can be wrapped in reports of stages and tasks."""
    lines = [line.strip().removeprefix("Caused by: ") for line in message.splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"\[[A-Z0-9_.]{5,}\]", line)]
    plain = [line.removeprefix(": ") for line in lines if not line.startswith("An error occurred while calling")]
    line = told[-1] if told else (plain[0] if plain else message)
    return re.sub(r"^[\w.$]+(?:Exception|Error): ", "", line).split(" SQLSTATE:")[0].strip()


def _first(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), message)


def _excerpt(query: str, length: int = 160) -> str:
    flat = " ".join(query.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
