"""Pages that a server may say are unchanged: what was selected from them, with their ETag or time of change.

A page that is lost or damaged here is read again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from mainstem import private
from mainstem.sources.exchange import Answer

PLACE = Path(".mainstem/pages")
"""The directory of all remembered pages, below the project's root."""


def forget(root: Path) -> None:
    """Remove all remembered pages of a project: they hold rows."""
    shutil.rmtree(root / PLACE, ignore_errors=True)


class Remembered:
    """The pages of one source. `mark` tells selections apart: another selection remembers nothing of this one."""

    def __init__(self, root: Path, mark: str) -> None:
        self._directory = root / PLACE / mark
        self._seen: set[str] = set()

    def conditions(self, url: str) -> dict[str, str]:
        """Return the headers that ask whether a page is unchanged; none for a page that is not remembered."""
        found = self._found(url) or {}
        names = {"etag": "If-None-Match", "modified": "If-Modified-Since"}
        return {header: found[name] for name, header in names.items() if found.get(name)}

    def page(self, url: str) -> dict[str, Any] | None:
        """Return what was selected from a page."""
        found = self._found(url)
        return None if found is None else dict(found["page"])

    def keep(self, url: str, answer: Answer, page: Mapping[str, Any]) -> None:
        """Remember what was selected from a page, if the server gives it an ETag or a time of change.

        A page that cannot be written, such as to a full disk, is read again by the next run.
        """
        with suppress(OSError):
            self._write(url, answer, page)

    def _write(self, url: str, answer: Answer, page: Mapping[str, Any]) -> None:
        known = {"etag": answer.headers.get("ETag"), "modified": answer.headers.get("Last-Modified")}
        file = self._file(url)
        if not any(known.values()):
            file.unlink(missing_ok=True)
            return
        private.directory(self._directory)
        before = file.with_suffix(f".{os.getpid()}")
        private.file(before)
        before.write_text(json.dumps({**known, "page": page}))
        before.replace(file)

    def end(self) -> None:
        """Forget the pages that were not asked for."""
        for file in self._directory.glob("*"):
            if file.name not in self._seen:
                file.unlink(missing_ok=True)

    def _found(self, url: str) -> dict[str, Any] | None:
        with suppress(OSError, ValueError):
            found = json.loads(self._file(url).read_text())
            if isinstance(found, dict) and isinstance(found.get("page"), dict):
                return found
        return None

    def _file(self, url: str) -> Path:
        name = f"{sha256(url.encode()).hexdigest()}.json"  # a URL may have a secret
        self._seen.add(name)
        return self._directory / name
