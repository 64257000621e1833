"""Files: those that are new or changed are read. The old rows of a changed file are replaced.

The cursor maps each path to its size, time of change and digest. The column `_file` says which rows came from it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mainstem.errors import SourceError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.files import Files
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Part, ReplaceOrigins, Request
from mainstem.sources.formats import format_of
from mainstem.sources.formats.base import Reading
from mainstem.sources.kind import SourceKind
from mainstem.sources.listing import Stamp
from mainstem.sources.places import Place, place_of
from mainstem.sources.staging import ARCHIVE, Facts, Stage, chunks, facts, is_in_lines


class FilesKind(SourceKind[Files]):
    """Files below the project or at an object store, in one of the formats of `sources.formats`."""

    node_type = Files

    def extract(self, request: Request) -> Extraction:
        return _Files(request).extraction()

    def introspect(self, source: Files, root: Path, engine: Engine) -> Mapping[str, str]:
        place = place_of(source, root)
        found = place.listing()
        if not found:
            raise place.nothing()
        format = format_of(source)
        texts = ((path, file) for path in found if (file := _text(source, place, path)))
        mixed = (path for path, file in texts if facts(file, lines=True, hashed=False).mixed)
        stage = Stage(place, source, format, {}, frozenset(mixed))
        plain = tuple(str(place.local(path)) for path in found if not stage.is_needed(path))
        staged = next(chunks([p for p in found if stage.is_needed(p)], lambda path: found[path][0]), ())
        with ExitStack() as stack:
            below, names = stack.enter_context(stage.set(staged)) if staged else (root, ())
            return format.introspect(source, (*plain, *(str(below / name) for name in names)), engine)

    def observe(self, source: Files, root: Path, cursor: str | None) -> str:
        return digest(canonical(place_of(source, root).listing()))

    def identity(self, source: Files) -> Mapping[str, Any]:
        # An endpoint is a place; a password is not.
        storage = {name: source.storage[name] for name in ("endpoint", "account") if name in source.storage}
        own = {name: getattr(source, name) for name in ("path", "format", "options", "cursor")}
        return {**own, "storage": storage} if storage else own


def _text(node: Files, place: Place, path: str) -> Path | None:
    """Return a file of this machine whose bytes are lines of text; else None."""
    return place.local(path) if is_in_lines(node, path) else None


class _Files:
    """The files that changed since the cursor. Raises `SourceError` if no file matches."""

    def __init__(self, request: Request) -> None:
        self.request, self.node = request, request.node
        self.place = place_of(request.node, request.root)
        self.stored: dict[str, dict[str, Any]] = json.loads(request.cursor) if request.cursor else {}
        self.found = self.place.listing()
        if not self.found and not self.stored:
            raise self.place.nothing()
        self.facts: dict[str, Facts] = {}
        self.left_out: list[str] = []
        self.changed = [path for path, stamp in self.found.items() if self._is_changed(path, stamp)]
        self.gone = [told for told in self.stored if not self._is_there(told)]

    def extraction(self) -> Extraction:
        told = map(self._told, self.changed)
        change = ReplaceOrigins(tuple(path for path in told if path in self.stored))
        return Extraction(self._parts(), self._cursor, change, self._message)

    def _told(self, path: str) -> str:
        return self.place.prefix + path

    def _is_there(self, told: str) -> bool:
        return told.startswith(self.place.prefix) and told.removeprefix(self.place.prefix) in self.found

    def _is_changed(self, path: str, stamp: Stamp) -> bool:
        """Return whether a file is to be read. One of this machine is told by its digest, another by its stamp."""
        before, again = self.stored.get(self._told(path)), self._told(path) in self.request.again
        if before and (before["size"], before["mtime"]) == stamp and stamp[1] is not None and not again:
            return False
        file = self.place.local(path)
        if file is None:
            return again or not before or before["size"] != stamp[0] or not self._is_same(path, before["sha256"])
        self.facts[path] = facts(file, lines=is_in_lines(self.node, path))
        return again or not before or before["sha256"] != self.facts[path].sha256

    def _is_same(self, path: str, sha256: str) -> bool:
        """Return whether a file at a place that tells no time of change, or another one, still has the same bytes."""
        with tempfile.TemporaryDirectory(prefix="mainstem-stage-") as scratch:
            copy = Path(scratch) / "copy"
            self.place.fetch(path, copy)
            self.facts[path] = facts(copy, lines=is_in_lines(self.node, path))
        return self.facts[path].sha256 == sha256

    def _parts(self) -> Iterator[Part]:
        """Yield the rows of the files. Those that the engine cannot read where they are go over a stage."""
        format, mixed = format_of(self.node), {path for path, told in self.facts.items() if told.mixed}
        met, left_out = self.facts.__setitem__, self.left_out.append
        known = self.request.shape.schema
        stage = Stage(self.place, self.node, format, known, frozenset(mixed), met, left_out)
        plain = [path for path in self.changed if not stage.is_needed(path)]
        if plain:
            yield from format.parts(self._reading(self.request.root, tuple(plain)))
        for some in chunks([path for path in self.changed if stage.is_needed(path)], lambda path: self.found[path][0]):
            for packed in (False, True):
                paths = [path for path in some if path.endswith(ARCHIVE) == packed]
                if paths:
                    with stage.set(paths) as (root, staged):
                        prefix = self.place.prefix + ("/" if paths[0].startswith("/") else "")
                        yield from format.parts(self._reading(root, staged, prefix, packed))

    def _reading(self, root: Path, paths: tuple[str, ...], prefix: str = "", packed: bool = False) -> Reading:
        if Path(self.node.path).is_absolute() and not prefix:
            root, paths, prefix = Path("/"), tuple(path.lstrip("/") for path in paths), "/"
        return Reading(self.node, root, self.request.engine, self.request.shape, paths, prefix, packed)

    def _cursor(self) -> str:
        for path in self.changed:
            self._unchanged_meanwhile(path)
            self._whole(path)
        entries = {told: self.stored[told] for told in self.gone}
        for path, (size, mtime) in self.found.items():
            told = self._told(path)
            sha256 = self.facts[path].sha256 if path in self.facts else self.stored[told]["sha256"]
            entries[told] = {"size": size, "mtime": mtime, "sha256": sha256}
        return json.dumps(entries, sort_keys=True)

    def _whole(self, path: str) -> None:
        """Refuse a CSV file that became shorter and ends within a line: its last value may be incomplete."""
        before, size = self.stored.get(self._told(path)), self.found[path][0]
        if before and size < before["size"] and self.facts[path].cut:
            raise SourceError(
                "a file is shorter than before and ends within a line",
                where=self._where(path),
                got=f"{size:,} bytes, the last not a line break",
                expected=f"{before['size']:,} bytes or more, or a line break at the end",
                hint="if it is truncated, fetch it again; if it is complete, end it with a line break",
            )

    def _unchanged_meanwhile(self, path: str) -> None:
        if self.place.stamp(path) != self.found[path]:
            raise SourceError("a file changed while it was read", where=self._where(path), hint="run again")

    def _where(self, path: str) -> str:
        return str(self.place.local(path) or self._told(path))

    def _message(self) -> str:
        many = len(self.changed)
        said = [f"{many} file{'s' if many != 1 else ''}"] if many else []
        if self.gone:
            said.append(f"{len(self.gone)} no longer exist, their rows stay: {', '.join(sorted(self.gone)[:3])}")
        cut = [path for path in self.changed if path in self.facts and self.facts[path].cut]
        if self.left_out:
            many = len(self.left_out)
            said.append(f"{many} of other formats left out of archives: {', '.join(self.left_out[:3])}")
        if cut:
            said.append(f"no line break at the end, perhaps truncated: {', '.join(cut[:3])}")
        return "; ".join(said)
