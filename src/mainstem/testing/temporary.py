"""A project in a temporary directory whose sources are given as rows: for unit tests of a project's definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mainstem.errors import UnknownName
from mainstem.nodes.base import Node
from mainstem.nodes.files import Files
from mainstem.nodes.sources import Source, Stream
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Sequence[Mapping[str, Any]]


@contextmanager
def project(nodes: Mapping[str, Node], data: Mapping[str, Rows | pa.Table]) -> Iterator[Project]:
    """Open a project of `nodes` whose sources deliver `data`: rows as mappings, or an Arrow table.

    Streams get their data as past events, as from a client. Everything else is real: the lake, the state and the online
    store are in a temporary directory, which is deleted on exit.
    """
    unknown = [name for name in data if not isinstance(nodes.get(name), Source)]
    if unknown:
        raise UnknownName.among("source", unknown[0], [n for n, node in nodes.items() if isinstance(node, Source)])
    with TemporaryDirectory(prefix="mainstem-") as directory:
        root = Path(directory)
        settings = Settings(root, ProjectSettings("test", ()), Profile(), "default", Serve())
        stood_in = {name: _on_disk(root, name, nodes[name], data[name]) for name in data if _landed(nodes[name])}
        with Project(settings, {**nodes, **stood_in}, aliases={node: name for name, node in nodes.items()}) as made:
            streams = {name: rows for name, rows in data.items() if not _landed(nodes[name])}
            if streams:
                made.run(" ".join(f"+{name}" for name in streams))
            for name, rows in streams.items():
                made.ingest(name, rows if isinstance(rows, Sequence) else rows.to_pylist(), backfill=True)
            yield made


def _landed(node: Node) -> bool:
    return not isinstance(node, Stream)


def _on_disk(root: Path, name: str, node: Node, rows: Rows | pa.Table) -> Files:
    """Return the same source, reading from a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert isinstance(node, Source)
    if not isinstance(rows, pa.Table):
        rows = _arrow([dict(row) for row in rows], node.schema or {})
    rows = _live(rows, getattr(node, "deleted", None))
    pq.write_table(rows, root / f"{name}.parquet")
    common = {f.name: getattr(node, f.name) for f in fields(Source)}
    return Files(**{**common, "cursor": None}, path=f"{name}.parquet", format="parquet")


def _live(rows: pa.Table, deleted: Any) -> pa.Table:
    """Return the rows without those that a database marks as deleted, as a run stores them."""
    import ibis
    import pyarrow.compute as pc

    from mainstem.nodes.expressions import resolve_boolean

    if deleted is None:
        return rows
    given = ibis.memtable(rows)
    marked = given.select(marked=resolve_boolean(given, deleted).fill_null(False)).to_pyarrow()["marked"]
    return rows.filter(pc.invert(marked))


def _arrow(rows: Sequence[Mapping[str, Any]], schema: Mapping[str, str]) -> pa.Table:
    """Return rows with all their columns, and those of the schema in its types."""
    import ibis
    import pyarrow as pa

    types = {field.name: field.type for field in ibis.schema(dict(schema)).to_pyarrow()}
    names = dict.fromkeys((*types, *(name for row in rows for name in row)))
    return pa.table({name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names})
