"""Records as JSON. NaN, Infinity and -Infinity are written as text, because JSON has no numbers for them."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

from mainstem.errors import StorageError

T = TypeVar("T")


def encode(record: Any) -> str:
    """Return a frozen dataclass as JSON text."""
    return msgspec.json.encode(_finite(msgspec.to_builtins(record))).decode()


def decode(body: str, kind: type[T]) -> T:
    """Return the record of a JSON text. Raises `StorageError` if it is not a record of this kind."""
    try:
        # Not strict, so that the text NaN becomes a float again.
        return msgspec.json.decode(body, type=kind, strict=False)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"a record of the state is not a {kind.__name__}",
            got=str(error),
            hint="check which version of Mainstem wrote it",
        ) from error


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else _name(value)
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
