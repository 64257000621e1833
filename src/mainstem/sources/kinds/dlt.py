"""Resources of dlt: their items become Arrow batches, and dlt's state of them is the cursor.

dlt is used without a pipeline: it neither normalises the items nor writes files, and has no state of its own on disk.
The state that a resource reads and changes is given to it, and is stored with its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mainstem.errors import MainstemError, MissingExtra, SourceError
from mainstem.masking import harmless, masked
from mainstem.nodes.dlts import Dlt
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Merge, Request
from mainstem.sources.kind import SourceKind

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.sources.evolution import Shape

ROWS = 10_000
"""The most records that become one batch."""
SAMPLE = 1_000
"""The number of items that tell the columns of a source without a declared schema."""


class DltKind(SourceKind[Dlt]):
    """A resource of dlt."""

    node_type = Dlt

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema

        node: Dlt = request.node
        state = _state(None if node.write == "replace" else request.cursor)
        batches, schema = _fitted(request, state), arrow_schema(request.schema)
        if node.write == "replace":
            return Extraction.replacing(batches, schema)
        if node.write == "merge":
            # Without a state the resource gives all rows: what does not come is gone.
            scope: Literal["all"] | None = "all" if request.cursor is None else None
            return Extraction.merging(batches, schema, Merge(node.key, scope=scope), lambda: _text(state))
        return Extraction.appending(batches, schema, lambda: _text(state))

    def introspect(self, source: Dlt, root: Path, engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.widening import wider

        found: dict[str, str] = {}
        where = str(source.origin)
        for batch in _batches(islice(_items(source, {}, where), SAMPLE), where, {}):
            for name, type in _types(batch, {}).items():
                found[name] = wider(found.get(name, "null"), type)
        return {name: "string" if type == "null" else type for name, type in found.items()}

    def identity(self, source: Dlt) -> Mapping[str, Any]:
        return {"resource": f"{source.resource.section}.{source.resource.name}", "write": source.write}


# ── items ─────────────────────────────────────────────────────────────────────────────────────────────


def _items(node: Dlt, state: Any, where: str) -> Iterator[Any]:
    """Yield the items of a resource. It reads and changes `state`. Raises `SourceError`."""
    try:
        from dlt.common.configuration.container import Container
        from dlt.common.pipeline import StateInjectableContext
    except ImportError as error:
        raise MissingExtra.named("dlt", "dlt") from error
    items: Any = iter(())
    try:
        with Container().injectable_context(StateInjectableContext(state=state)):
            items = iter(node.resource)
        yield from items
    except MainstemError:
        raise
    except Exception as error:
        raise SourceError(
            f"the resource {node.resource.name!r} of dlt failed",
            where=where,
            got=masked(f"{type(error).__name__}: {str(error).strip()}"),
            expected="items",
        ) from harmless(error)
    finally:
        getattr(items, "close", lambda: None)()


def _batches(items: Iterator[Any], where: str, known: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """Yield items as batches: records together, and tables of Arrow or pandas as they are."""
    records: list[Mapping[str, Any]] = []
    for item in items:
        if isinstance(item, Mapping):
            records.append(item)
            if len(records) < ROWS:
                continue
        if records:
            yield _of_records(records, where, known)
            records = []
        if not isinstance(item, Mapping):
            yield from _of_table(item, where)
    if records:
        yield _of_records(records, where, known)


def _of_records(records: list[Mapping[str, Any]], where: str, known: Mapping[str, str]) -> pa.RecordBatch:
    from mainstem.sources.databases.values import batch_of

    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [tuple(_value(record.get(name)) for name in names) for record in records]
    return batch_of(names, rows, known, where)


def _value(value: Any) -> Any:
    """Return a value without what a library added to its type, such as Pendulum's instants."""
    if isinstance(value, datetime) and type(value) is not datetime:
        return datetime.fromisoformat(value.isoformat())
    if isinstance(value, date) and type(value) not in (date, datetime):
        return date(value.year, value.month, value.day)
    return value


def _of_table(item: Any, where: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if isinstance(item, pa.RecordBatch):
        yield item
    elif isinstance(item, pa.Table):
        yield from item.combine_chunks().to_batches()
    elif type(item).__module__.startswith("pandas."):
        yield from pa.Table.from_pandas(item, preserve_index=False).combine_chunks().to_batches()
    else:
        raise SourceError(
            "an item of the resource is not a row",
            where=where,
            got=type(item).__name__,
            expected="a mapping, or a table of Arrow or pandas",
        )


def _types(batch: pa.RecordBatch, known: Mapping[str, str]) -> dict[str, str]:
    """Return the types of a batch; texts may be instants and dates, as in JSON."""
    import pyarrow as pa

    from mainstem.sources.arrow import found_in
    from mainstem.sources.inference import type_of

    found = found_in(batch)
    texts = {f.name for f in batch.schema if pa.types.is_string(f.type) and found[f.name] == "string"}
    return {n: type_of(batch.column(n).to_pylist(), known.get(n)) if n in texts else t for n, t in found.items()}


def _fitted(request: Request, state: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in the columns and types of the source, which may grow by them."""
    from mainstem.sources.arrow import fit

    node: Dlt = request.node
    shape: Shape = request.shape
    origin, rows = f"resource {node.resource.name}", 0
    for batch in _batches(_items(node, state, request.where), f"{request.where}, {origin}", shape.schema):
        whole = _whole(batch, shape)
        yield fit(whole, shape, origin, found=_types(whole, shape.schema))
        rows += batch.num_rows
        request.report(f"{rows:,} rows")
    _check_state(node, state, rows, request.where)


def _whole(batch: pa.RecordBatch, shape: Shape) -> pa.RecordBatch:
    """Return a batch with a column for every one that is known: records may lack one."""
    import pyarrow as pa

    lacking = [name for name in shape.schema if name not in batch.schema.names]
    for name in lacking:
        batch = batch.append_column(name, pa.nulls(batch.num_rows))
    return batch


# ── the state ─────────────────────────────────────────────────────────────────────────────────────────


def _state(cursor: str | None) -> dict[str, Any]:
    """Return the state that a cursor holds."""
    if cursor is None:
        return {}
    from dlt.common.json import json

    found: dict[str, Any] = json.typed_loads(cursor)
    return found


def _text(state: Mapping[str, Any]) -> str:
    from dlt.common.json import json

    return str(json.typed_dumps(state))


def _check_state(node: Dlt, state: Mapping[str, Any], rows: int, where: str) -> None:
    """Refuse a resource whose state does not fit how its rows are written: rows would be lost, or repeated."""
    keeps = any(each.get("resources") for each in state.get("sources", {}).values()) if state else False
    if keeps and node.write == "replace":
        raise SourceError(
            "the resource keeps a state, so it gives only new rows, and they would replace those that are stored",
            where=where,
            got='write="replace"',
            expected='write="append" or write="merge"',
        )
    if not keeps and rows and node.write == "append":
        raise SourceError(
            "the resource keeps no state, so it gives all rows each time, and they would be repeated",
            where=where,
            got='write="append"',
            expected='write="replace", or write="merge" with key=',
            hint="dlt.sources.incremental makes a resource incremental",
        )
