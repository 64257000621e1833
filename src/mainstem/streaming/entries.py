"""Entries of a log as the columns of its stored relation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import ibis
import pyarrow as pa

from mainstem.errors import SchemaError
from mainstem.logs.predictions import columns_in, is_block, size_of
from mainstem.logs.records import SOURCE, to_arrow

Entry = tuple[int, bytes]
Columns = Callable[[int, bytes], Mapping[str, Any]]
"""Returns an entry that is no block as a row."""


class Reader:
    """Reads the entries of the log `name` as columns of a schema. `reached` is the next offset of each partition of the
    topic, behind the events that were read."""

    def __init__(self, name: str, schema: Mapping[str, str], columns: Columns) -> None:
        self._name, self._columns = name, columns
        self._schema = ibis.schema(dict(schema)).to_pyarrow()
        self.reached: dict[int, int] = {}

    def read(self, entries: Sequence[Entry]) -> pa.Table:
        """Return entries as rows, those of blocks without a step for each. Raises `SchemaError`, or what the decoding
        of an entry raises."""
        found: dict[str, list[Any]] = {name: [] for name in self._schema.names}
        for in_block, some in groupby(entries, lambda entry: is_block(entry[1])):
            if in_block:
                self._add_blocks(found, some)
            else:
                self._add_rows(found, some)
        return pa.table([self._column(field, found[field.name]) for field in self._schema], schema=self._schema)

    def _add_blocks(self, found: Mapping[str, list[Any]], entries: Iterable[Entry]) -> None:
        for _, payload in entries:
            columns, absent = columns_in(payload), [None] * size_of(payload)
            for name, values in found.items():
                values.extend(columns.get(name, absent))

    def _add_rows(self, found: Mapping[str, list[Any]], entries: Iterable[Entry]) -> None:
        rows = [self._columns(offset, payload) for offset, payload in entries]
        for partition, offset in filter(None, (row.get(SOURCE) for row in rows)):
            self.reached[partition] = max(offset + 1, self.reached.get(partition, 0))
        for name, values in found.items():
            values.extend(row.get(name) for row in rows)

    def _column(self, field: pa.Field, values: Sequence[Any]) -> pa.Array:
        try:
            return to_arrow(values, field.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(
                f"logged values of {field.name!r} no longer fit the schema",
                where=self._name,
                got=str(error),
                expected=str(field.type),
                hint="run once with the old schema, then change it",
            ) from error


def next_batch(entries: Iterator[Entry], rows: int) -> list[Entry]:
    """Return the next entries, until they have so many rows; an empty list at the end."""
    found, count = list[Entry](), 0
    for entry in entries:
        found.append(entry)
        count += size_of(entry[1])
        if count >= rows:
            break
    return found
