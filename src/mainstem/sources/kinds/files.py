"""Files: each new or changed file becomes one part. The old rows of a changed file are replaced.

The cursor maps each path to its size, time of change, digest, and the data files with its rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.errors import SourceError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.sources import Files
from mainstem.ports import Append, Engine, RawFiles, ReplaceFiles
from mainstem.sources.extraction import Extraction, Part, Request, Written
from mainstem.sources.kind import SourceKind
from mainstem.sources.listing import Stamp, listing, no_file, stamp


class FilesKind(SourceKind[Files]):
    """CSV, Parquet and JSON-lines files below the project."""

    node_type = Files

    def extract(self, request: Request) -> Extraction:
        return _extract(request)

    def introspect(self, source: Files, root: Path, engine: Engine) -> Mapping[str, str]:
        paths = tuple(str(root / path) for path in listing(root, source.path))
        if not paths:
            raise no_file(source.path, root)
        return _types_of_csv(source, paths, engine) if source.format == "csv" else _types(source, paths, engine)

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
    changed = [seen for seen in look if seen.changed]
    replaced = [name for seen in changed for name in stored.get(seen.path, {}).get("data", ())]
    parts = [_part(request, seen.path) for seen in changed]
    gone = [path for path in stored if path not in found]

    def cursor(written: Written) -> str:
        for seen in changed:
            _unchanged_meanwhile(request, seen)
            _whole(request, seen, stored.get(seen.path))
        kept = {path: stored[path] for path in gone}
        now = {s.path: s.entry(written.get(s.path, stored.get(s.path, {}).get("data", ()))) for s in look}
        return json.dumps({**kept, **now}, sort_keys=True)

    change = ReplaceFiles(tuple(replaced)) if replaced else Append()
    return Extraction(parts, cursor, change, _message(request, changed, gone))


@dataclass(frozen=True)
class _Seen:
    path: str
    stamp: Stamp
    digest: str
    changed: bool

    def entry(self, data: Any) -> dict[str, Any]:
        size, mtime = self.stamp
        return {"size": size, "mtime": mtime, "sha256": self.digest, "data": list(data)}


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


def _part(request: Request, path: str) -> Part:
    node = request.node
    return Part(path, RawFiles((str(request.root / path),), node.format, dict(request.schema), dict(node.options)))


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


# ── introspection ─────────────────────────────────────────────────────────────────────────────────────


def _types(source: Files, paths: tuple[str, ...], engine: Engine) -> dict[str, str]:
    from mainstem.sources.inference import kept

    with engine.session({"files": RawFiles(paths, source.format, None, source.options)}) as session:
        return {name: kept(type) for name, type in session.schema("SELECT * FROM files").items()}


def _types_of_csv(source: Files, paths: tuple[str, ...], engine: Engine) -> dict[str, str]:
    """Infer CSV types from the texts of all files: a column that is blank in one file gets its type from another."""
    from mainstem.sources.inference import types_of_text

    options = {"delim": ",", "quote": '"', "escape": '"', **source.options, "all_varchar": True, "union_by_name": True}
    with engine.session({"files": RawFiles(paths, "csv", None, options)}) as session:
        names = list(session.schema("SELECT * FROM files"))
        if len(names) == 1 and re.search(r"[;\t|]", names[0]):
            hint = "set another delimiter: options={'delim': ';'}"
            raise SourceError("the CSV files have only one column", got=names[0], hint=hint)
        return types_of_text(session, "files", names)
