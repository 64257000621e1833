"""A function is remembered only if its code shows that it always returns the same expression."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import ibis
import pytest

import mainstem as ms
from mainstem.errors import UnknownName
from mainstem.graph.fingerprint import of_expression
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.project.resolve import resolve
from mainstem.tables.memory import Memory, key_of
from mainstem.tables.purity import pure

BEGIN = """
import datetime, math, os, random
import ibis
import mainstem as ms
from ibis import _
from datetime import date
LIMIT, NAMES, DAYS = 10, ("a", "b"), {"a": 1}
SINCE = datetime.date(2020, 1, 1)
def helper(t): return t
"""

FLIGHTS = ms.files("x.csv", key="id", schema={"id": "int64", "delay": "int64", "origin": "string"})


def made(body: str, begin: str = BEGIN) -> Any:
    """The function `late` of a module."""
    module: dict[str, Any] = {}
    exec(compile(begin + textwrap.dedent(body), "declared.py", "exec"), module)
    return module["late"]


@pytest.mark.parametrize(
    "body",
    [
        "def late(flights): return flights.filter(_.delay > LIMIT)",
        "def late(flights): return flights.mutate(x=ibis.literal(1), y=_.delay.cast('string'))",
        "def late(flights): return flights.filter([_.origin != name for name in NAMES])",
        "def late(flights, more=3): return flights.mutate(**{f'd{n}': _.delay + n for n in range(more)})",
        "def late(flights): return flights.filter(lambda t: t.delay.between(1, LIMIT))",
        "def late(flights): return flights.mutate(rank=ibis.row_number().over(order_by=ibis.desc('delay')))",
        "def late(flights): return flights.filter(_.id > 1) if LIMIT > 3 else flights",
        "def late(flights): return flights.mutate(since=SINCE)",
    ],
)
def test_an_expression_of_inputs_and_constants_is_pure(body: str) -> None:
    assert pure(made(body)) is not None


@pytest.mark.parametrize(
    "body",
    [
        "def late(flights): return flights.limit(random.randint(1, 9))",
        "def late(flights): return flights.filter(_.delay > len(os.environ))",
        "def late(flights): return flights.mutate(d=date.today())",
        "def late(flights): return flights.mutate(d=datetime.date.today())",
        "def late(flights): return flights.limit(len(open('x').read()))",
        "def late(flights):\n    import time\n    return flights.limit(int(time.time()))",
        "def late(flights): return helper(flights)",
        "def late(flights): return flights.mutate(x=DAYS['a'])",
        "def late(flights): return flights.union(ibis.read_csv('x.csv'))",
        "def late(flights): return flights.join(ibis.memtable({'a': [1]}), 'id')",
        "def late(flights):\n    module = ibis\n    return module.read_csv('x.csv')",
        "def late(flights): return getattr(ibis, 'read_csv')('x.csv')",
        "def late(flights): return flights.mutate(r=ibis.random())",
        "def late(flights): return ms.join(flights, flights, on='id')",
        "def late(flights): return eval('flights')",
        "def late(flights): return flights.mutate(x=().__class__.__base__.__subclasses__()[0].__name__)",
        "def late(flights):\n    global LIMIT\n    LIMIT = LIMIT + 1\n    return flights.limit(LIMIT)",
        "def late(flights):\n    ibis.options.sql.default_limit = 3\n    return flights",
        "def late(flights, seen=[]): return flights.limit(len(seen))",
        "def late(flights): return flights.limit(missing)",
        "def late(flights): return flights.filter([(lambda: os.getpid())() > 3])",
        "def outer():\n    n = 3\n    def late(flights): return flights.limit(n)\n    return late\nlate = outer()",
        "class late:\n    def __call__(self, flights): return flights\nlate = late()",
        "import functools\n@functools.wraps(helper)\ndef late(flights): return flights",
        "def max(*args): return random.random()\ndef late(flights): return flights.limit(int(max(1, 2)))",
        "def late(flights):\n    class _X: pass\n    return flights",
    ],
)
def test_whatever_could_differ_next_time_is_not(body: str) -> None:
    assert pure(made(body)) is None


BODY = "def late(flights): return flights.filter(_.delay > LIMIT).mutate(x=ibis.literal(2))"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT, NAMES, DAYS = 10", "LIMIT, NAMES, DAYS = 11"),
        ("LIMIT, NAMES, DAYS = 10", "LIMIT, NAMES, DAYS = 10.0"),
        ("LIMIT, NAMES, DAYS = 10", "LIMIT, NAMES, DAYS = True"),
        ("_.delay > LIMIT", "_.delay >= LIMIT"),
        ("_.delay > LIMIT", "_.id > LIMIT"),
        ("mutate(x=", "mutate(y="),
        ("literal(2)", "literal(3)"),
        ("literal(2)", "null()"),
        ("from ibis import _", "_ = 3"),
        ("late(flights)", "late(flights, more=None)"),
    ],
)
def test_another_meaning_has_another_key(old: str, new: str) -> None:
    def key(text: str) -> str:
        begin, body = text.split("# function\n")
        found = pure(made(body, begin))
        return "" if found is None else key_of(found[0])

    text = f"{BEGIN}# function\n{BODY}"
    assert old in text
    assert key(text) == key(text) != key(text.replace(old, new))


def graph_of(function: Any, file: Path, **declared: Any) -> tuple[Graph, Memory]:
    nodes: dict[str, Node] = {"flights": FLIGHTS, "late": ms.table(function, **declared)}
    memory = Memory(file)
    return resolve(nodes, {}, memory=memory), memory


def test_a_remembered_function_is_not_called_until_its_rows_are_needed(tmp_path: Path) -> None:
    function = made(BODY)
    before, memory = graph_of(function, tmp_path / "kept.json")
    memory.save()
    after, _ = graph_of(made(BODY), tmp_path / "kept.json")
    assert after["late"].fingerprint == before["late"].fingerprint
    assert after["late"].schema == before["late"].schema
    assert before["late"].build is not None and after["late"].build is not None
    assert of_expression(after["late"].build) == of_expression(before["late"].build)


def test_a_name_that_stands_for_another_value_later_does_not_change_the_expression(tmp_path: Path) -> None:
    function = made(BODY)
    graph, memory = graph_of(function, tmp_path / "kept.json")
    memory.save()
    build = graph["late"].build
    assert build is not None
    again = made(BODY)
    remembered, _ = graph_of(again, tmp_path / "kept.json")
    again.__globals__["LIMIT"] = 99
    assert remembered["late"].build is not None
    assert of_expression(remembered["late"].build) == of_expression(build)
    changed, _ = graph_of(again, tmp_path / "kept.json")
    assert changed["late"].fingerprint != graph["late"].fingerprint


def test_an_error_is_found_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(UnknownName, match="absent"):
            graph_of(made("def late(flights): return flights.filter(_.absent > 3)"), tmp_path / "kept.json")


def test_a_check_by_a_function_is_made_each_time(tmp_path: Path) -> None:
    calls = []

    def fine(t: Any) -> Any:
        calls.append(t)
        return t.delay >= 0

    for _ in range(2):
        check = ms.expression(fine, name="fine")
        _graph, memory = graph_of(made(BODY), tmp_path / "kept.json", checks=[check])
        memory.save()
    assert len(calls) >= 2


def test_what_ibis_is_allowed_exists() -> None:
    from mainstem.tables.purity import _IBIS

    assert {name for name in _IBIS if not hasattr(ibis, name)} == set()
