"""Files: those that are new or changed are read. The old rows of a changed file are replaced.

The cursor maps each path to its size, time of change and digest. The column `_file` says which rows came from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.errors import SourceError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.sources import Files
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, ReplaceOrigins, Request
from mainstem.sources.formats import format_of
from mainstem.sources.formats.base import Reading
from mainstem.sources.kind import SourceKind
from mainstem.sources.listing import Stamp, listing, no_file, stamp


class FilesKind(SourceKind[Files]):
    """Files below the project, in one of the formats of `sources.formats`."""

    node_type = Files

    def extract(self, request: Request) -> Extraction:
        return _extract(request)

    def introspect(self, source: Files, root: Path, engine: Engine) -> Mapping[str, str]:
        paths = tuple(str(root / path) for path in listing(root, source.path))
        if not paths:
            raise no_file(source.path, root)
        return format_of(source).introspect(source, paths, engine)

    def observe(self, source: Files, root: Path, cursor: str | None) -> str:
        return digest(canonical(listing(root, source.path)))

    def identity(self, source: Files) -> Mapping[str, Any]:
        return {name: getattr(source, name) for name in ("path", "format", "options", "cursor")}


# ── extraction ────────────────────────────────────────────────────────────────────────────────────────


def _extract(request: Request) -> Extraction:
    """Return the files that changed since the cursor. Raises `SourceError` if no file matches."""
    stored: dict[str, dict[str, Any]] = json.loads(request.cursor) if request.cursor else {}
    found = listing(request.root, request.node.path)
    if not found and not stored:
        raise no_file(request.node.path, request.root)
    look = [_look(request.root / path, path, now, stored.get(path)) for path, now in found.items()]
    changed = [seen for seen in look if seen.changed or seen.path in request.again]
    gone = [path for path in stored if path not in found]
    reading = Reading(request.node, request.root, request.engine, request.shape, tuple(seen.path for seen in changed))

    def cursor() -> str:
        for seen in changed:
            _unchanged_meanwhile(request, seen)
            _whole(request, seen, stored.get(seen.path))
        return json.dumps(
            {**{path: stored[path] for path in gone}, **{s.path: s.entry() for s in look}}, sort_keys=True
        )

    change = ReplaceOrigins(tuple(seen.path for seen in changed if seen.path in stored))
    parts = format_of(request.node).parts(reading)
    return Extraction(parts, cursor, change, _message(request, changed, gone))


@dataclass(frozen=True)
class _Seen:
    path: str
    stamp: Stamp
    digest: str
    changed: bool

    def entry(self) -> dict[str, Any]:
        size, mtime = self.stamp
        return {"size": size, "mtime": mtime, "sha256": self.digest}


def _look(file: Path, path: str, now: Stamp, before: dict[str, Any] | None) -> _Seen:
    if before and (before["size"], before["mtime"]) == now:
        return _Seen(path, now, before["sha256"], changed=False)
    digest = _sha256(file)
    return _Seen(path, now, digest, changed=not before or before["sha256"] != digest)


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SourceError("a file cannot be read", where=str(file), got=error.strerror) from error


def _whole(request: Request, seen: _Seen, before: dict[str, Any] | None) -> None:
    """Refuse a CSV file that became shorter and ends within a line: its last value may be incomplete."""
    file, size = request.root / seen.path, seen.stamp[0]
    if before and size < before["size"] and request.node.format == "csv" and _ends_within_a_line(file):
        raise SourceError(
            "a file is shorter than before and ends within a line",
            where=str(file),
            got=f"{size:,} bytes, the last not a line break",
            expected=f"{before['size']:,} bytes or more, or a line break at the end",
            hint="if it is truncated, fetch it again; if it is complete, end it with a line break",
        )


def _unchanged_meanwhile(request: Request, seen: _Seen) -> None:
    if stamp(request.root / seen.path) != seen.stamp:
        raise SourceError("a file changed while it was read", where=str(request.root / seen.path), hint="run again")


def _message(request: Request, changed: list[_Seen], gone: list[str]) -> str:
    said = [f"{len(changed)} file{'s' if len(changed) != 1 else ''}"] if changed else []
    if gone:
        said.append(f"{len(gone)} no longer exist, their rows stay: {', '.join(sorted(gone)[:3])}")
    cut = [s.path for s in changed if request.node.format == "csv" and _ends_within_a_line(request.root / s.path)]
    if cut:
        said.append(f"no line break at the end, perhaps truncated: {', '.join(cut[:3])}")
    return "; ".join(said)


def _ends_within_a_line(file: Path) -> bool:
    if file.suffix == ".gz" or file.stat().st_size == 0:
        return False
    with file.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read(1) not in b"\r\n"
