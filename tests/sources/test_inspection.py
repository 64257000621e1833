import subprocess
import sys

import pytest

from mainstem.nodes.apis import api
from mainstem.nodes.databases import database
from mainstem.nodes.files import files
from mainstem.nodes.web import web
from mainstem.sources.inspection import observe, place, settled


def test_files_tell_by_their_listing(tmp_path):
    node = files("*.csv")
    empty = observe(node, tmp_path, None)
    (tmp_path / "a.csv").write_text("a\n1\n")
    one = observe(node, tmp_path, None)
    assert one != empty
    assert observe(node, tmp_path, None) == one
    (tmp_path / "a.csv").write_text("a\n22\n")
    assert observe(node, tmp_path, None) != one


def test_looking_needs_no_heavy_library():
    heavy = ("duckdb", "pyarrow", "ibis", "dlt", "parsel", "protego", "pyiceberg", "sqlalchemy", "requests")
    program = f"import sys, mainstem.sources.inspection; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


def test_an_unreachable_source_is_observed_as_such_and_has_settled_on_nothing(tmp_path):
    node = database("sqlite:///absent.db", table="planes")
    assert observe(node, tmp_path, None) == "unreachable"
    assert settled(node, tmp_path) is None


HERE = "http://127.0.0.1:9/w"


@pytest.mark.parametrize(
    ("node", "digest"),
    [
        (files("data/*.csv.gz", options={"delim": ";"}, key="id"), "cf099b77de75"),
        (database("sqlite:///data/registry.db", table="planes", cursor="at"), "0c1f5be79332"),
        (database("postgresql://u@h/db", query="SELECT 1 AS a"), "fcc0cc1d7515"),
        (
            api(HERE, records="items", cursor="hour", params={"station": "JFK"}, headers={"k": "v"}, paging="link"),
            "e25f92da7258",
        ),
        (web(HERE, rows="tr", fields={"a": "td", "b": "a::attr(href)"}), "f6d716ef8ed1"),
    ],
    ids=["files", "table", "query", "api", "web"],
)
def test_the_place_of_a_source_is_as_earlier_versions_stored_it(node, digest):
    """A snapshot keeps it: with another one every source would be read from its beginning again."""
    assert place(node) == digest
