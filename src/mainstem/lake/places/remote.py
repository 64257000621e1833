"""A lake at an object store, with a mirror below a directory of this machine.

Files of tables and artifacts never change. A machine fetches each file once, and writes each file to its mirror first;
`keep` uploads it. A file appears at the store as a whole: an upload that is cut off or fails leaves no file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import uuid4

from mainstem.errors import SettingsError
from mainstem.lake.places.base import Entry
from mainstem.lake.places.local import Local
from mainstem.nodes.storage import SETTINGS, arguments, scheme_of

ATTEMPTS = 8
"""How often the client sends a request that the store answers with 503 or not at all, with growing pauses."""
_AT_ONCE = 8
_CHUNK = 4 * 2**20
_IN_PARTS = 5 * 2**20
"""A larger file is sent in parts."""
_AT_ONCE_COPIED = 5 * 2**30
"""A store copies no larger file by itself."""
_OF_FILES = ("tables", "models")
_HANDED = "tmp"
"""The folder of data that a process hands to an engine's workers, and deletes."""


class Remote:
    """The lake at `url`, such as `s3://bucket/prefix`, with the store's settings and the directory of its mirror."""

    def __init__(self, url: str, storage: Mapping[str, str], mirror: Path) -> None:
        self._url, self._storage, self._mirror = url.rstrip("/"), dict(storage), mirror
        self._base = self._url.partition("://")[2]
        self._there = set[str]()  # data files that this process fetched or uploaded

    @property
    def root(self) -> Path:
        return self._mirror

    @property
    def where(self) -> str:
        return self._url

    def begin(self) -> None:
        self._mirror.mkdir(parents=True, exist_ok=True)

    def beside(self, where: str) -> Remote | None:
        if where.partition("://")[0] != self._url.partition("://")[0]:
            return None
        return Remote(where, self._storage, self._mirror.with_name(f"{self._mirror.name}-beside"))

    def location(self, name: str) -> str:
        return f"{self._url}/{name}"

    def here(self, name: str) -> Path:
        path = self._mirror / name
        if not path.exists():
            self._fetch(name)
        return path

    def fetch(self, names: Iterable[str], *, anew: bool = False) -> None:
        def each(name: str) -> None:
            with suppress(FileNotFoundError):
                self._fetch(name)

        self._at_once(each, [name for name in names if anew or not (self._mirror / name).exists()])

    def keep(self, names: Iterable[str]) -> None:
        self._at_once(self._upload, [name for name in names if name not in self._there])

    def share(self, names: Iterable[str]) -> None:
        unsure = [name for name in names if name not in self._there and (self._mirror / name).exists()]
        sizes = self._sizes(unsure)
        self.keep([name for name in unsure if sizes[name] != (self._mirror / name).stat().st_size])

    def move(self, name: str, to: str) -> None:
        if (self._sizes([name])[name] or 0) < _AT_ONCE_COPIED:
            self._system.copy_file(self._at(name), self._at(to))
        else:
            with self.open(name) as source:
                self._send(source, to)
        self._system.delete_file(self._at(name))
        self._there.discard(name)
        if (self._mirror / name).exists():
            (self._mirror / name).rename(self._mirror / to)
            self._remember(to)

    def read(self, name: str) -> bytes | None:
        try:
            with self.open(name) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes, *, new: bool = False) -> bool:
        if new and self._exists(name):
            return False
        with self._system.open_output_stream(self._at(name)) as stream:
            stream.write(content)
        return True

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._system.open_input_stream(self._at(name)))

    def touch(self, name: str) -> None:
        if (content := self.read(name)) is not None:
            self.write(name, content)

    def listing(self, folder: str) -> Iterator[Entry]:
        from pyarrow import fs

        for info in self._infos(folder, recursive=True):
            if info.type == fs.FileType.File:
                yield Entry(self._name(info.path), info.size, (info.mtime_ns or 0) / 1e9)

    def folders(self, folder: str) -> list[str]:
        from pyarrow import fs

        return sorted(info.base_name for info in self._infos(folder) if info.type == fs.FileType.Directory)

    def changed(self, folder: str) -> float:
        return max((entry.changed for entry in self.listing(folder)), default=0.0)

    def delete(self, names: Iterable[str]) -> None:
        def each(name: str) -> None:
            with suppress(FileNotFoundError):
                self._system.delete_file(self._at(name))
            (self._mirror / name).unlink(missing_ok=True)
            self._there.discard(name)

        self._at_once(each, list(names))

    def drop(self, folder: str) -> None:
        with suppress(FileNotFoundError):
            self._system.delete_dir(self._at(folder))
        self._there = {name for name in self._there if not name.startswith(f"{folder}/")}
        shutil.rmtree(self._mirror / folder, ignore_errors=True)

    def tidy(self, before: float) -> list[Entry]:
        there = {entry.name for folder in _OF_FILES for entry in self.listing(folder)}
        mirror = Local(self._mirror)
        mine = [entry for folder in _OF_FILES for entry in mirror.listing(folder)]
        gone = [entry for entry in mine if entry.name not in there and entry.changed < before]
        mirror.delete(entry.name for entry in gone)
        self.delete([entry.name for entry in self.listing(_HANDED) if entry.changed < before])
        return gone

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _system(self) -> Any:
        """Return pyarrow's file system of the store. Raises `SettingsError`."""
        from pyarrow import fs

        scheme = scheme_of(self._url)
        kinds: dict[str, Callable[..., Any]] = {
            "s3": fs.S3FileSystem,
            "gs": fs.GcsFileSystem,
            "abfs": fs.AzureFileSystem,
        }
        own: dict[str, Any] = {}
        if scheme == "s3":
            own = {
                "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
                "allow_delayed_open": True,  # a small file is one request
            }
        try:
            return kinds[scheme](**arguments(scheme, self._storage), **own)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SettingsError(
                "the object store of the lake cannot be opened",
                where=self._url,
                got=str(error),
                expected=", ".join(f"{name}://" for name in SETTINGS),
                hint="[profile.NAME.storage] has the endpoint, the region and the keys",
            ) from error

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self._base}/")

    def _infos(self, folder: str, *, recursive: bool = False) -> list[Any]:
        from pyarrow import fs

        selector = fs.FileSelector(self._at(folder), recursive=recursive, allow_not_found=True)
        return sorted(self._system.get_file_info(selector), key=lambda info: str(info.path))

    def _sizes(self, names: list[str]) -> dict[str, int | None]:
        """Return the size of each file at the store; None for one that does not exist."""
        return {
            name: info.size
            for name, info in zip(names, self._system.get_file_info([*map(self._at, names)]), strict=True)
        }

    def _exists(self, name: str) -> bool:
        from pyarrow import fs

        return bool(self._system.get_file_info(self._at(name)).type == fs.FileType.File)

    def _fetch(self, name: str) -> None:
        path = self._mirror / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
        try:
            with self.open(name) as source, draft.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
            draft.replace(path)
            self._remember(name)
        finally:
            draft.unlink(missing_ok=True)

    def _upload(self, name: str) -> None:
        path = self._mirror / name
        with path.open("rb") as source:
            self._send(source, name)
        expected = path.stat().st_size
        found = self._sizes([name])[name] if expected > _IN_PARTS else expected
        if found != expected:
            self._withdraw(name)
            raise OSError(f"{self.location(name)} has {found} bytes after the upload of {expected}")
        self._remember(name)

    def _send(self, source: BinaryIO, name: str) -> None:
        stream = self._system.open_output_stream(self._at(name))
        try:
            shutil.copyfileobj(source, stream, _CHUNK)
        except BaseException:
            # The stream cannot be abandoned: closing it stores what was sent so far.
            with suppress(OSError):
                stream.close()
            self._withdraw(name)
            raise
        stream.close()

    def _withdraw(self, name: str) -> None:
        with suppress(OSError):  # no snapshot refers to it, so garbage collection deletes it
            self._system.delete_file(self._at(name))

    def _remember(self, name: str) -> None:
        if name.startswith("tables/") and name.endswith(".parquet"):  # no other name is given once only
            self._there.add(name)

    def _at_once(self, call: Callable[[str], None], names: list[str]) -> None:
        if len(names) < 2:
            for name in names:
                call(name)
            return
        with ThreadPoolExecutor(_AT_ONCE, "object-store") as threads:
            for done in [threads.submit(call, name) for name in names]:
                done.result()
