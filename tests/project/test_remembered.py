"""A project that is resolved with what a file remembers is the same as one that is resolved anew."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError
from mainstem.graph.fingerprint import of_expression
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.project.resolve import resolve
from mainstem.tables.memory import Memory
from mainstem.tables.sql_files import parse_file

QUERIES = (
    "SELECT * FROM {0}",
    "SELECT *, delay + 1 AS more FROM {0}",
    "SELECT * EXCLUDE (delay), delay * 2 AS delay FROM {0} WHERE delay > 0",
    "SELECT id, at, day, delay, origin FROM {0} -- the same\n",
    "select id, at, day, delay, origin from {0}",
    "SELECT a.*, b.delay AS other FROM {0} AS a LEFT JOIN {1} AS b ON a.id = b.id",
    "SELECT a.id, a.at, b.origin, b.day, a.delay FROM {0} a ASOF JOIN {1} b ON a.id = b.id AND a.at >= b.at",
    "SELECT origin, max(at) AS at, max(day) AS day, max(id) AS id, avg(delay) AS delay FROM {0} GROUP BY origin",
    "SELECT id, at, day, origin, sum(delay) OVER (PARTITION BY origin ORDER BY at) AS delay FROM {0}",
    "WITH w AS (SELECT * FROM {0}) SELECT id, at, day, origin, (SELECT max(delay) FROM {1}) AS delay FROM w",
    "SELECT id, at, origin, delay FROM {0} UNION ALL BY NAME SELECT id, day FROM {1}",
    "SELECT id, at, day, origin, delay FROM {0} WHERE origin IN (SELECT origin FROM {1})",
    "SELECT DISTINCT ON (id) * FROM {0} ORDER BY at DESC",
    "SELECT absent FROM {0}",
    "SELECT id, id FROM {0}",
    "SELECT at::TIMESTAMP AS at FROM {0}",
    "SELECT FROM {0} WHERE",
)

FUNCTIONS = (
    "return {0}.mutate(delay=_.delay + {number})",
    "return {0}.filter(_.delay > LIMIT)",
    "return {0}.left_join({1}.select('id', other='delay'), 'id').drop('id_right')",
    "return {0}.group_by('origin').agg(at=_.at.max(), day=_.day.max(), id=_.id.max(), delay=_.delay.mean())",
    "return {0}.mutate(delay=_.delay.sum().over(group_by='origin', order_by='at'))",
    "return HELPERS[0]({0})",
    "return {0}.asof_join({1}.select('id', 'at', seen='delay'), 'at', predicates='id').drop('id_right', 'at_right')",
    "return {0}.filter(_.absent > 1)",
)

DIRECTIVES = (
    "",
    "-- key: id",
    "-- time: at",
    "-- sort: origin",
    "-- check: not_null(id)",
    '-- check: between("delay", 0, 10, severity="quarantine")',
    '-- check: expression("delay >= 0")',
    "-- assume_known: delay: it is",
    '-- clean: trim("origin")',
    "-- incremental: at",
    "-- key: id\n-- versions: true",
    "-- key: id\n-- write: merge",
    "-- description: late flights",
)

TYPES: Mapping[str, tuple[str, ...]] = {
    "id": ("int64", "string"),
    "at": ("timestamp('UTC', 6)",),
    "day": ("timestamp('UTC', 6)", "timestamp('UTC', 6)", "date"),
    "delay": ("float64", "int64", "decimal(9, 2)"),
    "origin": ("string",),
}


class Project:
    """Two sources and six tables, SQL or functions, each over nodes before it, edited at random."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.limit = 1
        self.sources = {name: self._source() for name in ("flights", "weather")}
        self.texts = {f"t{number}": self._text(number) for number in range(6)}

    def edit(self) -> None:
        self.limit = self.random.choice([1, 1, 1, 2])
        if self.random.random() < 0.3:
            self.sources[self.random.choice(list(self.sources))] = self._source()
        else:
            name = self.random.choice(list(self.texts))
            self.texts[name] = self._text(int(name[1:]))

    def nodes(self) -> dict[str, Node]:
        found: dict[str, Node] = dict(self.sources)
        for name, text in self.texts.items():
            if text.startswith("def "):
                module: dict[str, Any] = {"_": _, "LIMIT": self.limit, "HELPERS": [lambda t: t.limit(self.limit)]}
                exec(compile(text, f"{name}.py", "exec"), module)
                found[name] = ms.table(module[name])
                continue
            (self.folder / f"{name}.sql").write_text(text)
            found[name] = parse_file(self.folder / f"{name}.sql")
        return found

    def _source(self) -> Node:
        schema = {name: self.random.choice(types) for name, types in TYPES.items()}
        order = self.random.sample(list(schema), len(schema)) if self.random.random() < 0.2 else list(schema)
        known: Any = self.random.choice(["at", {"*": "at", "delay": _.at + ibis.interval(days=1)}, "always", None])
        return ms.files("x.csv", key="id", time="at", known=known, schema={name: schema[name] for name in order})

    def _text(self, number: int) -> str:
        before = ["flights", "weather", *(f"t{n}" for n in range(number))]
        if self.random.random() < 0.4:
            one, other = self.random.sample(before, 2)
            functions = FUNCTIONS if self.random.random() < 0.05 else FUNCTIONS[:-1]
            body = self.random.choice(functions).format(one, other, number=self.random.randint(1, 3))
            return f"def t{number}({one}, {other}):\n    {body}\n"
        queries = QUERIES if self.random.random() < 0.05 else QUERIES[:-4]
        query = self.random.choice(queries).format(self.random.choice(before), self.random.choice(before))
        return f"{self.random.choice(DIRECTIVES) if self.random.random() < 0.3 else ''}\n{query}\n"


def told(graph: Graph) -> dict[str, Any]:
    """Everything that a graph says of its nodes, as plain data."""
    return {
        each.name: (
            each.inputs,
            each.fingerprint,
            each.read_fingerprint,
            each.declared_fingerprint,
            each.own,
            list((each.schema or {}).items()),
            dict(each.known),
            dict(each.columns),
            each.set_aside,
            [fit.definition for fit in each.fits],
            None if each.raw is None else of_expression(each.raw),
            None if each.build is None else (of_expression(each.build), str(each.build.schema())),
            None if each.read is None else (of_expression(each.read), str(each.read.schema())),
            graph.stored(each.name),
        )
        for each in graph
    }


def outcome(project: Project, memory: Memory | None) -> Any:
    try:
        return told(resolve(project.nodes(), {}, memory=memory))
    except DefinitionError as problem:
        return type(problem), str(problem)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_remembered_is_what_is_found_anew(seed: int, tmp_path: Path) -> None:
    project = Project(seed, tmp_path)
    file = tmp_path / "kept.json"
    for _edit in range(10):
        memory = Memory(file)
        assert outcome(project, memory) == outcome(project, None)
        memory.save()
        project.edit()


def test_the_projects_are_sound_and_broken(tmp_path: Path) -> None:
    found = []
    for seed in range(8):
        project = Project(seed, tmp_path)
        for _edit in range(10):
            found.append(isinstance(outcome(project, None), dict))
            project.edit()
    assert found.count(True) > 40 and found.count(False) > 5


def test_a_remembered_table_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late.sql").write_text("-- key: id\nSELECT id, delay > 15 AS late FROM flights\n")
    nodes = {
        "flights": ms.files("x.csv", key="id", schema={"id": "int64", "delay": "int64"}),
        "late": parse_file(tmp_path / "late.sql"),
    }
    file = tmp_path / "kept.json"
    first = Memory(file)
    resolve(nodes, {}, memory=first)
    first.save()

    def refuse(*args: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("mainstem.tables.sql._parsed", refuse)
    graph = resolve(nodes, {}, memory=Memory(file))
    assert graph["late"].schema == {"id": "int64", "late": "boolean"}
    with pytest.raises(AssertionError):
        graph["late"].build  # noqa: B018 - it is made when it is read
