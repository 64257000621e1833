"""DuckDB's COPY to Parquet: one file, files of about one size, or files by the partition of a table."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mainstem.engines.types import identifier, literal, stored
from mainstem.ports import DataFile, Partition, Target


class Copy:
    """One COPY of a query to a target. `path` is where it writes: a file, the target's directory, or one of its own."""

    def __init__(self, target: Target, name: str) -> None:
        self._target, self._name = target, name
        self._directory = Path(target.directory)
        if target.partition:
            self.path = self._directory / name
        else:
            self.path = self._directory if target.file_bytes else self._directory / f"{name}.parquet"

    def statement(self, sql: str) -> str:
        """Return the COPY of the rows of a query. It returns the path and the number of rows of each file first."""
        target = self._target
        types = {field.name: stored(field.type) for field in target.fields}
        columns = [f"CAST({identifier(name)} AS {type}) AS {identifier(name)}" for name, type in types.items()]
        if target.partition:  # DuckDB names directories by the values, and names have a greatest length
            columns.append(f"hash({', '.join(_part(part, types) for part in target.partition)}) AS _part")
        ids: dict[str, Any] = {field.name: field.id for field in target.fields}
        ids |= {name: {"__duckdb_field_id": ids[name], "element": items} for name, items in target.items.items()}
        options = f"FORMAT parquet, COMPRESSION zstd, FIELD_IDS {literal(ids)}, RETURN_STATS{self._split()}"
        return f"COPY (SELECT {', '.join(columns)} FROM (\n{sql}\n)) TO {literal(self.path)} ({options})"

    def taken(self, written: Sequence[tuple[Any, ...]]) -> tuple[DataFile, ...]:
        """Return the files with rows, each in the target's directory. Other files are removed."""
        files = [(Path(str(path)), int(rows)) for path, rows, *_ in written]
        for path, rows in files:
            if not rows:
                path.unlink(missing_ok=True)
        found = [(path, rows) for path, rows in files if rows]
        if not self._target.partition:
            return tuple(DataFile(str(path), rows) for path, rows in found)
        moved = []
        for number, (path, rows) in enumerate(found):
            place = self._directory / f"{self._name}-{number}.parquet"
            moved.append(DataFile(str(path.rename(place)), rows))
        shutil.rmtree(self.path, ignore_errors=True)
        return tuple(moved)

    def undo(self) -> None:
        """Remove what a failed COPY left."""
        for path in self._directory.glob(f"{self._name}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _split(self) -> str:
        if self._target.partition:
            return ", PARTITION_BY (_part), FILENAME_PATTERN 'part-{uuid}'"
        if self._target.file_bytes:
            pattern = literal(self._name + "-{uuid}")
            return f", FILE_SIZE_BYTES {self._target.file_bytes}, APPEND, FILENAME_PATTERN {pattern}"
        return ""


def _part(part: Partition, types: dict[str, str]) -> str:
    value = f"CAST({identifier(part.column)} AS {types[part.column]})"
    return value if part.unit == "value" else f"date_trunc({literal(part.unit)}, {value})"
