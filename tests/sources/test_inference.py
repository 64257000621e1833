import ibis.expr.operations as ops
import pytest

from mainstem.engines.duckdb import DuckdbSession
from mainstem.errors import SourceError
from mainstem.nodes.files import files
from mainstem.nodes.web import web
from mainstem.sources import inference
from mainstem.sources.inspection import introspect


def put(root, name, text):
    (root / name).write_text(text)


def test_csv_types_are_the_narrowest_that_all_texts_of_all_files_have(bench):
    put(bench.root, "a.csv", "i,f,s,zip,at,day,ok,blank,n\n1,1,a,007,2013-01-01T10:00:00Z,2013-01-01,true,,1\n")
    put(bench.root, "b.csv", "i,f,s,zip,at,day,ok,blank,n\n,1.5,1,123,2013-01-01 10:00:00,,false,,x\n,2e3,,,,,,,\n")
    assert introspect(files("*.csv"), bench.root, bench.engine) == {
        "i": "int64",
        "f": "float64",
        "s": "string",
        "zip": "string",
        "at": "timestamp('UTC', 6)",
        "day": "date",
        "ok": "boolean",
        "blank": "string",
        "n": "string",
    }


def test_a_column_blank_in_one_file_has_its_type_from_another(bench):
    put(bench.root, "2013-11.csv", "id,delay\n1,15\n")
    put(bench.root, "2013-12.csv", "id,delay\n2,\n")
    assert introspect(files("*.csv"), bench.root, bench.engine) == {"id": "int64", "delay": "int64"}


def test_what_is_declared_wins(bench):
    put(bench.root, "a.csv", "id,delay\n1,15\n")
    node = files("*.csv", schema={"delay": "float64"})
    assert introspect(node, bench.root, bench.engine) == {"id": "int64", "delay": "float64"}


def test_another_delimiter_is_noticed(bench):
    put(bench.root, "a.csv", "id;delay\n1;15\n")
    with pytest.raises(SourceError, match="only one column"):
        introspect(files("*.csv"), bench.root, bench.engine)
    node = files("*.csv", options={"delim": ";"})
    assert introspect(node, bench.root, bench.engine) == {"id": "int64", "delay": "int64"}
    assert bench.collect(node).rows_in == 1


def test_null_words(bench):
    put(bench.root, "a.csv", "id,delay\n1,NA\n2,3\n")
    node = files("*.csv", options={"nullstr": "NA"})
    assert introspect(node, bench.root, bench.engine) == {"id": "int64", "delay": "int64"}
    bench.collect(node)
    assert bench.column("delay") == [None, 3]


def test_a_web_page_gives_texts(bench):
    node = web("http://127.0.0.1:9/", rows="tr", fields={"a": "td", "n": "td"}, schema={"n": "int64"})
    assert introspect(node, bench.root, bench.engine) == {"a": "string", "n": "int64"}


@pytest.mark.parametrize(("later", "type"), [("2", "int64"), ("1.5", "float64"), ("many", "string"), ("", "int64")])
def test_rows_beyond_the_first_decide_too(bench, monkeypatch, later, type):
    monkeypatch.setattr(inference, "SAMPLE", 1)
    put(bench.root, "a.csv", f"id,x,blank\n1,1,\n2,{later},\n3,,{later}\n")
    found = introspect(files("*.csv"), bench.root, bench.engine)
    assert found["x"] == type
    assert found["blank"] == (type if later else "string")


def test_no_query_tests_all_columns_of_a_wide_file(bench, monkeypatch):
    """DuckDB plans a query of thousands of aggregates for minutes."""
    cells = {"i": "1", "f": "1.5", "s": "x", "day": "2013-01-01"}
    names = [f"{kind}{n}" for n in range(150) for kind in cells]
    put(bench.root, "wide.csv", f"{','.join(names)}\n{','.join(list(cells.values()) * 150)}\n")
    aggregates = []
    fetch = DuckdbSession.fetch

    def counted(session, query):
        if not isinstance(query, str):
            aggregates.append(len(query.op().find(ops.Reduction)))
        return fetch(session, query)

    monkeypatch.setattr(DuckdbSession, "fetch", counted)
    kinds = {"i": "int64", "f": "float64", "s": "string", "day": "date"}
    found = introspect(files("wide.csv"), bench.root, bench.engine)
    assert found == {name: kinds[name.rstrip("0123456789")] for name in names}
    assert 0 < max(aggregates) <= inference.AT_ONCE
