"""A cache file of query types. Asking the engine at every start takes 0.1 s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import msgspec

from mainstem.graph.fingerprint import canonical, digest

Columns = Mapping[str, str]
"""Column → Ibis type, in order."""


_FORM = "names as written"
"""What is kept of a query. A cache of another form is not used."""


class Types:
    """Column types by query, schemas of inputs, and versions of the engine and libraries.

    Without a file there is no cache. An unreadable file counts as empty; an unwritable file is ignored.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known = {} if file is None else _read(file)
        self._used: dict[str, Columns] = {}

    def of(self, query: str, inputs: Mapping[str, Columns], ask: Callable[[], Columns]) -> Columns:
        """Return the types of a query over `inputs`. `ask` is called if they are not cached."""
        key = digest(
            _FORM, query, canonical({name: tuple(columns.items()) for name, columns in inputs.items()}), *_versions()
        )
        self._used[key] = self._known.get(key) or ask()
        return self._used[key]

    def save(self) -> None:
        """Save the types that were used, and no others."""
        if self._file is not None and self._used != self._known:
            draft = self._file.with_name(f"{self._file.name}.{uuid4().hex}")
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(msgspec.json.format(msgspec.json.encode(self._used)))
                draft.replace(self._file)
            self._known = dict(self._used)


def _read(file: Path) -> dict[str, Columns]:
    try:
        found: dict[str, Columns] = msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, str]])
    except (OSError, msgspec.MsgspecError):
        return {}
    return found


@cache
def _versions() -> tuple[str, ...]:
    return tuple(version(name) for name in ("duckdb", "ibis-framework", "sqlglot"))
