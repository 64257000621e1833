"""The page of what each source can: a row for every kind of source, and the settings that it names exist."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import dlt
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError
from mainstem.nodes.sinks import Sink
from mainstem.nodes.sources import Stream
from mainstem.sources.kinds import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "what-each-source-can.md").read_text()
SOURCES, SINKS = PAGE.split("## Sinks")
ROW = re.compile(r"^\| \[`ms\.(\w+)`\]\(([^)]+)\)[^|]*\|(.+)\|$", re.M)
COLUMNS = ("incremental", "merge", "resume", "contract", "exactly once")
TABLE = {m[1]: dict(zip(COLUMNS, map(str.strip, m[3].split("|")), strict=True)) for m in ROW.finditer(SOURCES)}


def declarations() -> dict[str, Callable[..., Any]]:
    """The functions that declare sources, by name: those that return a type of source."""
    found = {}
    for name in ms.__all__:
        function = getattr(ms, name)
        returned = inspect.signature(function).return_annotation if inspect.isfunction(function) else None
        if returned in {kind.__name__ for kind in (*KINDS, Stream)}:
            found[name] = function
    return found


def test_every_kind_of_source_has_a_row() -> None:
    found = declarations()
    assert len(found) == len(KINDS) + 1
    assert set(TABLE) == set(found)


@pytest.mark.parametrize("name", TABLE)
def test_the_settings_of_a_row_are_those_of_the_declaration(name: str) -> None:
    takes, row = set(inspect.signature(declarations()[name]).parameters), TABLE[name]
    assert ("`cursor=`" in row["incremental"]) == ("cursor" in takes)
    assert ('`write="merge"`' in row["merge"] and not row["merge"].startswith("no")) == ("write" in takes)
    named = re.findall(r"`(\w+)=", " ".join(cell for cell in row.values() if not cell.startswith("no")))
    assert set(named) <= takes


LEAST: dict[str, dict[str, Any]] = {
    "files": {"path": "a.csv"},
    "database": {"url": "sqlite:///a.db", "table": "a"},
    "api": {"url": "http://127.0.0.1/a"},
    "web": {"url": "http://127.0.0.1/a", "rows": "tr", "fields": {"a": "td"}},
    "kafka": {"servers": "127.0.0.1:9092", "topic": "a"},
    "dlt": {"resource": dlt.resource([{"a": 1}], name="a")},
    "stream": {"name": "a", "schema": {"at": "timestamp('UTC', 6)"}, "time": "at"},
}


@pytest.mark.parametrize("name", TABLE)
def test_a_row_says_whether_the_declaration_takes_a_contract(name: str) -> None:
    declare, least = declarations()[name], LEAST[name]
    declare(**least)
    if TABLE[name]["contract"] == "yes":
        assert declare(**least, contract="freeze").contract == "freeze"
    else:
        with pytest.raises(DefinitionError, match="has no parameter 'contract'"):
            declare(**least, contract="freeze")


def test_every_target_of_a_sink_has_a_row() -> None:
    annotation = inspect.get_annotations(Sink, eval_str=True)["to"]
    targets = {kind.__name__.lower() for kind in get_args(annotation)}
    assert {m[1] for m in ROW.finditer(SINKS)} == targets
