"""Convert Spark's exceptions to Mainstem's errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mainstem.errors import EngineError, MainstemError, StorageError

_FULL = ("No space left on device", "File too large", "Disk quota exceeded")
_CLASS = re.compile(r"^\[([A-Z0-9_.]+)\]\s*")
_UNFIT = (
    'one value does not fit its type; _.column.try_cast("int64") gives null in its place, '
    "a filter or a check with severity='quarantine' in an earlier table sets the row aside"
)
_HINTS = {"CAST_": _UNFIT, "ARITHMETIC_OVERFLOW": _UNFIT, "NUMERIC_VALUE_OUT_OF_RANGE": _UNFIT}


@contextmanager
def explained(query: str) -> Iterator[None]:
    """Raise Spark's exceptions as `EngineError` or `StorageError`."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from sqlglot.errors import SqlglotError

    try:
        yield
    except MainstemError:
        raise
    except (PySparkException, Py4JError, SqlglotError) as error:
        raise explain(str(error), query) from error


def explain(message: str, query: str) -> MainstemError:
    """Return the error for Spark's `message` on `query`."""
    if any(text in message for text in _FULL):
        return StorageError("the disk is full", got=_first(message), hint="free some space and run again")
    what = _said(message)
    kind = found[1] if (found := _CLASS.match(what)) else ""
    hint = next((hint for begin, hint in _HINTS.items() if kind.startswith(begin)), None)
    return EngineError("the engine refused the query", where=_excerpt(query), got=_CLASS.sub("", what), hint=hint)


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
