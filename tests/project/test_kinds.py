"""A new type of node is added by one object: it is resolved, planned, run, read and shown like Mainstem's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import every_kind
import mainstem as ms
from mainstem.errors import DefinitionError
from mainstem.graph.fingerprint import digest
from mainstem.graph.known import ALWAYS
from mainstem.nodes.base import Node, NodeRef
from mainstem.nodes.definition import Definition
from mainstem.nodes.records import Release
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.kinds import Due, Kinds, due
from mainstem.planning.outlook import Outlook, Situation
from mainstem.planning.plan import Step
from mainstem.planning.planner import plan
from mainstem.ports import ReplaceAll, Snapshot
from mainstem.project.kinds import KINDS, NodeKind
from mainstem.project.kinds.scope import Scope
from mainstem.project.resolve import resolve
from mainstem.tables.memory import Memory
from mainstem.testing.contracts.kinds import Case, NodeKindContract

FIRST = date(2013, 1, 1)
SCHEMA = {"day": "date", "weekday": "string"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Calendar(Node):
    """The `days` from a first day on; beside `after`, another calendar, it begins where that one ends."""

    days: int
    after: NodeRef | None = None


def generate(step: Step, context: Context) -> StepResult:
    definition = context.graph[step.node]
    assert isinstance(definition.node, Calendar)
    first = FIRST
    for before in definition.inputs:
        with context.session([before]) as session:
            last = session.fetch(ibis.table(SCHEMA, name=before).aggregate(day=_.day.max()))["day"][0].as_py()
        first = last + timedelta(days=1)
    days = [first + timedelta(days=number) for number in range(definition.node.days)]
    rows = pa.table({"day": days, "weekday": [f"{day:%A}" for day in days]})
    target = context.lake.target(step.node, SCHEMA)
    with context.engine.session({"rows": rows}) as session:
        files = session.write(ibis.table(SCHEMA, name="rows"), target)
    base = context.release.tables.get(step.node)
    snapshot = context.lake.commit(step.node, target, files, base=base, run=context.run, change=ReplaceAll())
    return StepResult(tables={step.node: snapshot}, rows_in=snapshot.rows, published=snapshot.rows)


class CalendarKind(NodeKind[Calendar]):
    node_type = Calendar
    executors = MappingProxyType({"generate": generate})

    def references(self, node: Calendar, memory: Memory | None = None) -> list[NodeRef]:
        return [] if node.after is None else [node.after]

    def define(self, name: str, node: Calendar, inputs: tuple[str, ...], scope: Scope) -> Definition:
        own = digest("calendar", str(node.days), *(scope.done[each].read_fingerprint for each in inputs))
        columns = {column: (f"{name}.{column}",) for column in SCHEMA}
        read = ibis.table(SCHEMA, name=name)
        return Definition(name, node, inputs, own, own, SCHEMA, None, read, dict.fromkeys(SCHEMA, ALWAYS), columns)

    def due(self, name: str, node: Calendar, outlook: Outlook) -> tuple[Due, ...]:
        return due("generate", outlook.unmade(name, "never generated") or outlook.inputs(name, "generate"), "data")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(KINDS, "_kinds", dict(KINDS._kinds))
    KINDS.register(CalendarKind())
    yield


def declared(days: int = 7) -> dict[str, Node]:
    @ms.table
    def sundays(january, later):  # type: ignore[no-untyped-def]
        return january.union(later).filter(_.weekday == "Sunday").select("day")

    january = Calendar(days=days)
    return {"january": january, "later": Calendar(days=7, after=january), "sundays": sundays}


def steps(project: ms.Project) -> dict[str, str]:
    return {step.key: step.reason for step in project.plan().steps}


@pytest.mark.usefixtures("registered")
def test_a_node_type_of_ones_own_runs_end_to_end() -> None:
    nodes = declared()
    with ms.testing.project(nodes, data={}) as project:
        assert project.graph["later"].inputs == ("january",)
        assert steps(project) == {
            "generate january": "never generated",
            "generate later": "never generated",
            "build sundays": "never built",
        }
        assert project.plan().steps[2].needs == ("generate january", "generate later")
        assert project.run().status == "published"
        assert project.table("sundays").to_pyarrow()["day"].to_pylist() == [date(2013, 1, 6), date(2013, 1, 13)]
        assert not project.plan()
        assert project.status().nodes[0].kind == "calendar" and list(project.show("later").reads) == ["january"]


@pytest.mark.usefixtures("registered")
def test_a_change_of_it_reaches_what_is_made_from_it() -> None:
    before, after = (resolve(declared(days), {}) for days in (7, 8))
    made = {definition.name: definition.made_by for definition in before}
    stored = {name: Snapshot(name, name, 1, "", 1, "run", ()) for name in made}
    read = {"generate later": {"january": 1}, "build sundays": {"january": 1, "later": 1}}
    situation = Situation(Release("rel", "main", "run", tables=stored, fingerprints=made, inputs=read))
    assert not plan(before, situation, KINDS)
    assert {step.key for step in plan(after, situation, KINDS).steps} == {
        "generate january",
        "generate later",
        "build sundays",
    }


def test_a_type_without_a_kind_is_refused_at_its_line() -> None:
    with pytest.raises(DefinitionError, match="unknown node type 'Calendar'") as caught:
        resolve(declared(), {})
    assert "test_kinds.py" in str(caught.value.where) and "Table" in str(caught.value.expected)


def test_a_subtype_without_a_kind_has_that_of_its_ancestor() -> None:
    assert KINDS.of(ms.files("a.csv")) is KINDS.of(ms.database("sqlite:///a.db", table="a"))
    stream = ms.stream("a", schema={"at": "timestamp('UTC', 6)"}, time="at")
    assert KINDS.of(stream) is not KINDS.of(ms.files("a.csv"))


def test_each_type_has_a_word() -> None:
    view = ms.feature_view("legs", columns=["x"])
    model = ms.model(examples="legs", prediction_time="at", target=_.x, features=[view])
    nodes = [ms.files("a.csv"), ms.table(lambda: None, name="a"), view, model, ms.endpoint(model)]
    assert [KINDS.of(node).word(node) for node in nodes] == ["files", "table", "features", "model", "endpoint"]


# ── the contract ──────────────────────────────────────────────────────────────────────────────────────

OTHER: dict[str, dict[str, Any]] = {
    "flights": {"options": {"delim": ","}},
    "planes": {"table": "aircraft"},
    "weather": {"records": "rows"},
    "airlines": {"rows": "li"},
    "departures": {"checks": (ms.not_null("origin"),)},
    "orders": {"checks": (ms.not_null("total"),)},
    "legs": {"checks": ()},
    "days": {"sql": "SELECT origin, max(delay) AS delay FROM legs GROUP BY origin"},
    "airport": {"windows": ("1h", "3h", "6h")},
    "leg": {"ttl": "1d"},
    "late": {"seed": 1},
    "crm": {"columns": ("origin", "delay")},
}


@cache
def built_in(name: str) -> Case:
    nodes, changed = every_kind.project(), "late" if name == "arrivals" else name
    return Case(name, nodes, {changed: replace(nodes[changed], **OTHER[changed])}, every_kind.SCHEMAS)


class TestBuiltInKinds(NodeKindContract):
    @pytest.fixture(params=[*OTHER, "arrivals"])
    def case(self, request: pytest.FixtureRequest) -> Case:
        return built_in(request.param)


class TestCalendarKind(NodeKindContract):
    @pytest.fixture
    def case(self) -> Case:
        nodes = declared()
        return Case("january", nodes, {"january": Calendar(days=8)}, kinds=Kinds(*KINDS, CalendarKind()))
