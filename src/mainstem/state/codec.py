"""Records as JSON with a checksum.

NaN, Infinity and -Infinity are written as text, because JSON has no numbers for them. The last field, `_sum`, is the
CRC-32 of the text without it. So a flipped bit is an error, not another record. A text without the field was written by
an earlier version.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import Any, TypeVar

import msgspec

from mainstem.errors import StorageError

T = TypeVar("T")

_SUM = re.compile(r',"_sum":"([0-9a-f]{8})"}\Z')


def encode(record: Any) -> str:
    """Return a frozen dataclass as JSON text."""
    text = msgspec.json.encode(_finite(msgspec.to_builtins(record))).decode()
    return f'{text[:-1]},"_sum":"{_checksum(text)}"}}'


def decode(body: str, kind: type[T]) -> T:
    """Return the record of a JSON text. Raises `StorageError` if it is damaged, or no record of this kind."""
    try:
        # Not strict, so that the text NaN becomes a float again.
        return msgspec.json.decode(_verified(body, kind), type=kind, strict=False)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"a record of the state is not a {kind.__name__}",
            got=str(error),
            hint="check which version of Mainstem wrote it",
        ) from error


def _verified(body: str, kind: type[Any]) -> str:
    """Return the text without its checksum."""
    found = _SUM.search(body)
    if found is None:
        return body
    text = f"{body[: found.start()]}}}"
    if _checksum(text) != found[1]:
        raise StorageError(
            f"a record of the state is damaged: a {kind.__name__}",
            got=f"checksum {_checksum(text)}",
            expected=found[1],
            hint="mainstem restore DIR brings back a backup",
        )
    return text


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


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
