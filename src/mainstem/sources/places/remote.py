"""Files at an object store, or at any other file system that pyarrow or fsspec opens.

The settings of a store are those of `storage=`; without them the store's own defaults hold, such as the variables
`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.errors import SourceError
from mainstem.nodes.storage import SETTINGS, arguments, scheme_of
from mainstem.sources.listing import Stamp
from mainstem.sources.places.base import has_magic, nothing_at
from mainstem.sources.secrets import expand_all, redact


def remote(url: str, storage: Mapping[str, str]) -> Remote:
    """Return the place of a URL. Raises `SourceError` if nothing opens its scheme."""
    told, _, path = url.partition("://")
    return Remote(f"{told}://", path, _opened(scheme_of(url), told, storage), tuple(storage.values()))


def _opened(scheme: str, told: str, storage: Mapping[str, str]) -> Any:
    """Return pyarrow's file system for a scheme, or fsspec's through it."""
    from pyarrow import fs

    given = expand_all(storage)
    if scheme in SETTINGS:
        kinds: dict[str, Callable[..., Any]] = {
            "s3": fs.S3FileSystem,
            "gs": fs.GcsFileSystem,
            "abfs": fs.AzureFileSystem,
        }
        try:
            return kinds[scheme](**arguments(scheme, given))
        except (OSError, ValueError, TypeError) as error:
            raise SourceError("the object store cannot be opened", got=redact(str(error), *storage.values())) from error
    try:
        import fsspec

        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(told, **given)))
    except (ImportError, ValueError) as error:
        raise SourceError(
            f"nothing opens {told}://",
            got=str(error),
            expected=", ".join(f"{name}://" for name in SETTINGS),
            hint="other schemes are opened by fsspec: install it with the package of the scheme",
        ) from error


@dataclass(frozen=True)
class Remote:
    """Files that match `pattern` at a file system. `templates` are settings whose values are never shown."""

    prefix: str
    pattern: str
    system: Any
    templates: tuple[str, ...] = ()

    def listing(self) -> dict[str, Stamp]:
        from pyarrow import fs

        if found := self.stamp(self.pattern):
            return {self.pattern: found}
        whole = _expression(self.pattern)
        above = _fixed(self.pattern)
        with self._asked(above):
            infos = self.system.get_file_info(fs.FileSelector(above, recursive=True, allow_not_found=True))
        return {
            info.path: (info.size, info.mtime_ns)
            for info in sorted(infos, key=lambda info: info.path)
            if info.type == fs.FileType.File and whole.fullmatch(info.path)
        }

    def stamp(self, path: str) -> Stamp | None:
        from pyarrow import fs

        with self._asked(path):
            info = self.system.get_file_info(path)
        return (info.size, info.mtime_ns) if info.type == fs.FileType.File else None

    def local(self, path: str) -> Path | None:
        return None

    def fetch(self, path: str, target: Path) -> None:
        with self._asked(path), self.system.open_input_stream(path) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 4 * 2**20)

    def nothing(self) -> SourceError:
        return nothing_at(self.prefix + self.pattern, "check the bucket, the path and the region")

    @contextmanager
    def _asked(self, path: str) -> Iterator[None]:
        """Name the place in an error of the file system, without what is secret."""
        try:
            yield
        except OSError as error:
            said = redact(str(error), *self.templates)
            raise SourceError("the object store gave an error", where=self.prefix + path, got=said) from error


def _fixed(pattern: str) -> str:
    """Return the directory above the first part of a pattern that is a glob."""
    parts = pattern.split("/")[:-1]
    magic = next((n for n, part in enumerate(parts) if has_magic(part)), len(parts))
    return "/".join(parts[:magic])


def _expression(pattern: str) -> re.Pattern[str]:
    """Return a glob as a regular expression. `**` stands for any directories."""
    *above, last = pattern.split("/")
    told = [r"(?:[^/]+/)*" if part == "**" else f"{_segment(part)}/" for part in above]
    return re.compile("".join([*told, "(?:[^/]+/)*[^/]+" if last == "**" else _segment(last)]))


def _segment(part: str) -> str:
    """Return one part of a glob as a regular expression that does not match a `/`."""
    told = {"*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*|\?|\[[^\]]+\])", part)
    return "".join(
        told.get(token) or (f"[{_set(token)}]" if token.startswith("[") else re.escape(token)) for token in tokens
    )


def _set(token: str) -> str:
    inner = token[1:-1]
    return f"^{inner[1:]}" if inner.startswith("!") else inner
