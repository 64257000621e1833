"""Bring files to where the engine can read them: fetched, unpacked, converted, or with line ends of one kind."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mainstem.errors import SourceError
from mainstem.nodes.files import Files
from mainstem.sources.formats.base import Format
from mainstem.sources.places.base import Place

CHUNK = 2**30
"""The most bytes of files, as they are listed, that lie on the stage together; a larger file lies there alone."""

COMPRESSED = (".gz", ".zst")
ARCHIVE = ".zip"


class Facts(NamedTuple):
    """What reading a file's bytes tells: its digest, whether it ends within a line, whether its line ends are of two
    kinds."""

    sha256: str
    cut: bool = False
    mixed: bool = False


def facts(file: Path, *, lines: bool, hashed: bool = True) -> Facts:
    """Read a file. `lines` says that it is text in lines. Raises `SourceError`. Without `hashed` there is no digest."""
    hasher, feeds, returns, last = hashlib.sha256(), 0, 0, b""
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(2**20):
                if hashed:
                    hasher.update(chunk)
                if lines:
                    feeds += chunk.count(b"\n")
                    returns += chunk.count(b"\r\n") if b"\r" in chunk else 0  # to look for two bytes takes long
                    returns += last == b"\r" and chunk.startswith(b"\n")
                    last = chunk[-1:]
    except OSError as error:
        raise SourceError("a file cannot be read", where=str(file), got=error.strerror) from error
    return Facts(hasher.hexdigest() if hashed else "", last not in (b"", b"\r", b"\n"), 0 < returns < feeds)


def is_in_lines(node: Files, path: str) -> bool:
    """Return whether a file's bytes are lines of text."""
    return node.format == "csv" and not path.endswith((*COMPRESSED, ARCHIVE))


@dataclass(frozen=True)
class Stage:
    """Brings the files of a source to a directory, some at a time. `known` are its columns so far. `met` is called with
    what a fetched file tells."""

    place: Place
    node: Files
    format: Format
    known: Mapping[str, str]
    mixed: frozenset[str] = frozenset()
    met: Callable[[str, Facts], None] = lambda path, facts: None
    left_out: Callable[[str], None] = lambda member: None

    def is_needed(self, path: str) -> bool:
        """Return whether the engine cannot read the file where it is."""
        if self.place.local(path) is None or path in self.mixed or path.endswith(ARCHIVE):
            return True
        return type(self.format).convert is not Format.convert

    @contextmanager
    def set(self, paths: Sequence[str]) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield a directory and the paths below it of the files to read. They are gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="mainstem-stage-") as scratch:
            root = Path(scratch).resolve().joinpath(*["below"] * _deepest(paths))
            root.mkdir(parents=True, exist_ok=True)
            yield root, tuple(staged for path in paths for staged in self._set(root, path))

    def _set(self, root: Path, path: str) -> list[str]:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        file, where = self.place.local(path), self.place.prefix + path
        if file is None:
            file = target.with_name(f"{target.name}-fetched")
            try:
                self.place.fetch(path, file)
                told = facts(file, lines=is_in_lines(self.node, path))
                self.met(path, told)
                return self._ready(file, target, where, path, mixed=told.mixed)
            finally:
                file.unlink(missing_ok=True)
        return self._ready(file, target, where, path, mixed=path in self.mixed)

    def _ready(self, file: Path, target: Path, where: str, path: str, *, mixed: bool) -> list[str]:
        """Put a file of this machine on the stage, as one or more files that the engine reads."""
        name = path.lstrip("/")
        if path.endswith(ARCHIVE):
            target.mkdir()
            return [f"{name}/{member}" for member in self._unpacked(file, target, where)]
        if mixed:
            with file.open("rb") as source, target.open("wb") as copy:
                for chunk in _alike(iter(lambda: source.read(2**20), b""), str(self.node.options.get("quote", '"'))):
                    copy.write(chunk)
        elif not self.format.convert(file, target, self.node, self.known):
            shutil.copyfile(file, target)
        return [name]

    def _unpacked(self, file: Path, target: Path, where: str) -> list[str]:
        """Unpack the members of an archive that have the source's format."""
        found = []
        try:
            with zipfile.ZipFile(file) as archive:
                members = [info for info in archive.infolist() if not info.is_dir() and _is_data(info.filename)]
                wanted = [info for info in members if self._is_wanted(info.filename)] or members
                for info in members:
                    if info not in wanted:
                        self.left_out(f"{where}/{info.filename}")
                if not wanted:
                    raise SourceError("an archive has no file", where=where)
                for number, info in enumerate(wanted):
                    if info.filename.endswith(ARCHIVE):
                        raise SourceError("an archive is within an archive", where=f"{where}/{info.filename}")
                    name = f"{number:05}-{PurePosixPath(info.filename).name}"
                    raw = target.with_name(f"{target.name}-member")
                    with archive.open(info) as member, raw.open("wb") as copy:
                        shutil.copyfileobj(member, copy, 2**20)
                    told = facts(raw, lines=is_in_lines(self.node, name))
                    found += [
                        PurePosixPath(ready).name
                        for ready in self._ready(raw, target / name, f"{where}/{info.filename}", name, mixed=told.mixed)
                    ]
                    raw.unlink()
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            raise SourceError("an archive cannot be unpacked", where=where, got=str(error)) from error
        return found

    def _is_wanted(self, member: str) -> bool:
        name = member
        for suffix in COMPRESSED:
            name = name.removesuffix(suffix)
        return name.rsplit(".", 1)[-1].lower() in self.format.suffixes


def _deepest(paths: Sequence[str]) -> int:
    """Return how many directories a path leads up at most: `../` must not lead out of the stage."""
    return max((PurePosixPath(path).parts.count("..") for path in paths), default=0)


def _is_data(member: str) -> bool:
    """Return whether a member of an archive is a file of its own, not what a packing program adds."""
    return not member.startswith("__MACOSX/") and not PurePosixPath(member).name.startswith(".")


def _alike(chunks: Iterator[bytes], quote: str) -> Iterator[bytes]:
    """Yield the bytes of lines with `\\n` at their ends. Within quotes nothing changes."""
    mark, inside, held = quote.encode() or b'"', False, b""
    for chunk in chunks:
        chunk, held = held + chunk, b""
        if chunk.endswith(b"\r"):
            chunk, held = chunk[:-1], b"\r"
        parts = chunk.split(mark)
        for place in range(1 if inside else 0, len(parts), 2):
            parts[place] = parts[place].replace(b"\r\n", b"\n")
        inside ^= len(parts) % 2 == 0
        yield mark.join(parts)
    yield held


def chunks(paths: Sequence[str], sizes: Callable[[str], int]) -> Iterator[tuple[str, ...]]:
    """Yield paths in groups of at most `CHUNK` bytes, or of one file."""
    group, size = list[str](), 0
    for path in paths:
        if group and size + sizes(path) > CHUNK:
            yield tuple(group)
            group, size = [], 0
        group.append(path)
        size += sizes(path)
    if group:
        yield tuple(group)
