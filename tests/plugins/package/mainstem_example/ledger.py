"""A ledger: a file of JSON lines that is only appended to. The declaration and its kind, in one module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.errors import SourceUnreachable
from mainstem.nodes.base import Origin, names
from mainstem.nodes.sources import Source
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.kind import SourceKind


@dataclass(frozen=True, eq=False, kw_only=True)
class Ledger(Source):
    """The entries of the file at `path`, below the project."""

    path: str


def ledger(path: str, *, key: str | list[str] | None = None, **more: Any) -> Ledger:
    """Declare a ledger."""
    return Ledger(path=path, key=names(key), origin=Origin.of_caller(__file__), **more)


class LedgerKind(SourceKind[Ledger]):
    """Reads entries beyond those that were read; the cursor is their number."""

    node_type = Ledger

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema, from_records

        entries = _entries(request.root / request.node.path)
        schema = arrow_schema(request.schema)
        new = from_records(entries[int(request.cursor or 0) :], request.shape, request.node.path)
        return Extraction.appending([new], schema, lambda: str(len(entries)))

    def introspect(self, source: Ledger, root: Path, engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.inference import type_of

        entries = _entries(root / source.path)
        columns = dict.fromkeys(name for entry in entries for name in entry)
        return {name: type_of([entry.get(name) for entry in entries]) for name in columns}

    def observe(self, source: Ledger, root: Path, cursor: str | None) -> str:
        return f"{(root / source.path).stat().st_size} bytes"

    def identity(self, source: Ledger) -> Mapping[str, Any]:
        return {"path": source.path}


def _entries(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        raise SourceUnreachable("there is no such ledger", where=str(file))
    return [json.loads(line) for line in file.read_text().splitlines()]
