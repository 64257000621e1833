"""Files as a target: one file that is replaced at once, or a file for each data file of the snapshot.

The name of one of several files tells its rows, format and options, so a file that is there need not be written again.
That makes a delivery that was killed idempotent: the next one writes what lacks, and removes what the snapshot lacks.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.files import Files
from mainstem.sources.sinks.folders import Folder, folder_of
from mainstem.sources.sinks.formats import write
from mainstem.sources.sinks.load import Load, Sent

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST = "[0-9a-f]{12}"


class FileTarget:
    """The file, or the files, that the sink `name` (`project/sink`) writes."""

    remembers: ClassVar[bool] = True
    keyed: ClassVar[bool] = False

    def __init__(self, node: Files, root: Path, name: str) -> None:
        self.node, self.root, self.name = node, root, name.replace("/", "-")
        self.form = canonical([node.format, dict(node.options)])

    def mark(self) -> None:
        """Return that no mark tells what is there: the names of several files do, and one file is replaced."""

    def place(self) -> str:
        """Return ""."""
        return ""

    def write(self, load: Load) -> Sent:
        """Replace the file, or add and remove files."""
        folder = folder_of(self.node, self.root)
        last = self.node.path.rpartition("/")[2]
        if "*" not in last:
            return Sent(self._put(folder, last, load.rows()))
        before, _, after = last.partition("*")
        wanted = {f"{before}{self.name}-{digest(part.name, self.form)}{after}": part for part in load.parts}
        there = set(folder.names())
        rows = sum(self._put(folder, name, part.rows()) for name, part in wanted.items() if name not in there)
        ours = re.compile(re.escape(f"{before}{self.name}-") + DIGEST + re.escape(after))
        for name in sorted(there - wanted.keys()):
            if ours.fullmatch(name):
                folder.remove(name)
        return Sent(rows)

    def _put(self, folder: Folder, name: str, rows: pa.RecordBatchReader) -> int:
        """Write a file on this machine, and bring it to its place."""
        with tempfile.TemporaryDirectory(prefix="mainstem-sink-") as scratch:
            file = Path(scratch) / "rows"
            counted = write(file, name, self.node, rows)
            folder.put(file, name)
        return counted
