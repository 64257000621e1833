"""Files below the project, or at an absolute path."""

from __future__ import annotations

import glob
import shutil
from dataclasses import dataclass
from pathlib import Path

from mainstem.errors import SourceError, close_matches
from mainstem.sources.listing import Stamp, stamp


@dataclass(frozen=True)
class Local:
    """Files that match `pattern` below `root`. A pattern that is a file's own name is that file."""

    root: Path
    pattern: str
    prefix: str = ""

    def listing(self) -> dict[str, Stamp]:
        if found := self.stamp(self.pattern):
            return {self.pattern: found}
        paths = sorted(glob.glob(self.pattern, root_dir=self.root, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
        stamps = {path: self.stamp(path) for path in paths}
        return {path: found for path, found in stamps.items() if found is not None}

    def stamp(self, path: str) -> Stamp | None:
        return stamp(self.root / path)

    def local(self, path: str) -> Path | None:
        return self.root / path

    def fetch(self, path: str, target: Path) -> None:
        try:
            shutil.copyfile(self.root / path, target)
        except OSError as error:
            raise SourceError("a file cannot be read", where=str(self.root / path), got=error.strerror) from error

    def nothing(self) -> SourceError:
        first = Path(self.pattern).parts[0]
        near = None
        if not (self.root / first).exists():
            near = close_matches(first, (path.name for path in self.root.iterdir()))
        return SourceError(
            f"no file matches {self.pattern!r}",
            expected=f"at least one file below {self.root}",
            hint=near or "the path is relative to the project; check that the data has arrived",
        )
