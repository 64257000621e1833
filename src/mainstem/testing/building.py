"""Build one table of a project over given rows, in a temporary directory: for unit tests of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mainstem import settings as settings_module
from mainstem.errors import NotFound, RequestError, RunFailed, UnknownName
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.nodes.files import Files
from mainstem.nodes.hidden import visible
from mainstem.nodes.notebook import line
from mainstem.nodes.records import CheckResult
from mainstem.nodes.sources import Source
from mainstem.nodes.tables import Table
from mainstem.project.collect import from_project
from mainstem.project.kinds import KINDS
from mainstem.project.project import Project
from mainstem.project.resolve import resolve
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.testing.comparing import Comparison, compare
from mainstem.testing.rows import Rows, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa


class Built:
    """A table that was built over given rows: the published rows, those in quarantine, and the results of checks."""

    def __init__(
        self,
        name: str,
        key: Sequence[str],
        schema: Mapping[str, str],
        table: pa.Table,
        quarantined: Sequence[Mapping[str, Any]],
        checks: Sequence[CheckResult],
    ) -> None:
        self.name = name
        self.key = tuple(key)
        self.schema = dict(schema)
        self.quarantined = list(quarantined)
        self.checks = tuple(checks)
        self._table = table

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The published rows, as mappings."""
        found: list[dict[str, Any]] = self._table.to_pylist()
        return found

    def to_pyarrow(self) -> pa.Table:
        """Return the published rows."""
        return self._table

    def equals(
        self,
        expected: Rows,
        *,
        key: str | Sequence[str] | None = None,
        ordered: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Comparison:
        """Compare with expected rows, in the columns that they have. The result is false if they differ, and says how.

        Rows are paired by `key`, by default the key of the table.
        """
        names = self.key if key is None else (key,) if isinstance(key, str) else tuple(key)
        return compare(self.name, self._table, expected, self.schema, key=names, ordered=ordered, columns=columns)

    equals_rows = equals

    def __eq__(self, expected: object) -> bool:
        return bool(self.equals(expected))

    __hash__ = None  # type: ignore[assignment] # rows are compared by value

    def __repr__(self) -> str:
        return line("Built", self.name, f"{len(self.rows)} rows", f"{len(self.quarantined)} quarantined")


class TestProject:
    """The declarations of a project, to build tables of it. What the project stores is neither read nor changed."""

    __test__ = False  # pytest collects classes of this name otherwise

    def __init__(self, directory: str | Path = ".") -> None:
        self.settings = settings_module.load(directory)

    def __repr__(self) -> str:
        return line("TestProject", self.settings.project.name, str(self.settings.root))

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """The declarations by name."""
        settings = self.settings
        return from_project(settings.root, settings.project.modules, settings.params)

    def build(self, name: str, given: Mapping[str, Rows] | None = None) -> Built:
        """Build one table, with its cleaning, joins and checks, over given rows of its inputs.

        `given` maps sources and tables to rows: mappings, a frame, a CSV text, or the path of a CSV or YAML file. A
        missing column or value is null. Tables between are built too. The keys and checks of given nodes are not
        tested, so that rows may be partial. Accepted remedies are not applied.

        Raises `UnknownName` for a node or a column that does not exist, `NotFound` for an input without rows,
        `RequestError` for a value that its type does not hold, and `CheckFailed` for violations of checks.
        """
        rows = dict(given or {})
        if not isinstance(self.nodes.get(name), Table):
            raise UnknownName.among("table", name, [n for n, node in self.nodes.items() if isinstance(node, Table)])
        relations = [n for n, node in self.nodes.items() if isinstance(node, (Source, Table))]
        for each in rows:
            if each not in relations:
                raise UnknownName.among("source or table", each, relations, where=f"build({name!r}), given")
        needed = self._needed(name, rows)
        unused = [each for each in rows if each not in needed]
        if unused:
            reads = ", ".join(each for each in needed if each != name)
            raise RequestError(
                f"{name!r} does not read {unused[0]!r}", where=f"build({name!r}), given", expected=f"some of {reads}"
            )
        missing = [n for n in needed if n not in rows and isinstance(self.nodes[n], Source)]
        if missing:
            raise NotFound(
                f"{name!r} reads {missing[0]!r}, which has no rows",
                where=f"build({name!r}), given",
                got=f"rows of {', '.join(rows) or 'no node'}",
                expected=f"rows of {', '.join(missing)}, or of tables over them",
                hint=f"given={{{missing[0]!r}: []}} for a source without rows",
            )
        return self._built(name, needed, rows)

    def _needed(self, name: str, given: Iterable[str]) -> list[str]:
        """Return the table and what its build reads, up to the given nodes."""
        found: list[str] = []
        waiting = [name]
        while waiting:
            each = waiting.pop(0)
            if each not in found:
                found.append(each)
                if each not in given or each == name:
                    waiting += self._references(each)
        return found

    def _references(self, name: str) -> list[str]:
        node, names = self.nodes[name], {node: n for n, node in self.nodes.items()}
        found = KINDS.of(node).references(node)
        for each in found:
            if (each if isinstance(each, str) else names.get(each)) not in self.nodes:
                raise UnknownName.among("node", str(each), self.nodes, where=f"{name} ({node.origin})")
        return [each if isinstance(each, str) else names[each] for each in found]

    def _graph(self, needed: Iterable[str]) -> Graph:
        """Return the types of nodes, from schemas.lock and the declarations. A source in neither is looked at."""
        from mainstem.engines.duckdb import DuckdbEngine
        from mainstem.sources.inspection import introspect
        from mainstem.sources.lock import read_lock

        root = self.settings.root
        names = list(dict.fromkeys(each for start in needed for each in self._needed(start, ())))
        locked, schemas = read_lock(root / "schemas.lock"), {}
        for name in names:
            node = self.nodes[name]
            if isinstance(node, Source):
                declared = {**locked.get(name, {}), **(node.schema or {})}
                schemas[name] = declared or introspect(node, root, DuckdbEngine())
        return resolve({name: self.nodes[name] for name in names}, schemas)

    def _built(self, name: str, needed: Sequence[str], given: Mapping[str, Rows]) -> Built:
        import pyarrow.parquet as pq

        graph = self._graph(needed)
        with TemporaryDirectory(prefix="mainstem-") as directory:
            root = Path(directory)
            nodes: dict[str, Node] = {each: self.nodes[each] for each in needed}
            for each, rows in given.items():
                schema = visible(graph[each].schema or {})
                pq.write_table(to_arrow(rows, schema, f"given rows of {each!r}"), root / f"{each}.parquet")
                nodes[each] = Files(
                    name=each, path=f"{each}.parquet", format="parquet", schema=schema, origin=self.nodes[each].origin
                )
            temporary = Settings(
                root,
                ProjectSettings(self.settings.project.name, ()),
                Profile(),
                "default",
                Serve(),
                params=self.settings.params,
            )
            with Project(temporary, nodes, aliases={self.nodes[each]: each for each in needed}) as project:
                return self._run(project, name, graph)

    def _run(self, project: Project, name: str, graph: Graph) -> Built:
        try:
            record = project.run()
        except RunFailed as failure:
            if len(failure.causes) == 1:
                raise failure.causes[0] from None
            raise
        step = next(step for step in record.steps if step.node == name)
        aside = f"quarantine.{name}"
        set_aside = project.table(aside).to_pyarrow().to_pylist() if aside in project.release.tables else []
        schema = visible(graph[name].schema or {})
        node = self.nodes[name]
        key = node.key if isinstance(node, Table) else ()
        return Built(name, key, schema, project.table(name).to_pyarrow(), set_aside, step.checks)
