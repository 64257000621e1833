from datetime import date

import ibis.expr.operations as ops
import pytest

from mainstem.engines.duckdb import DuckdbSession
from mainstem.errors import DefinitionError, SourceError, UnknownName
from mainstem.nodes.files import files
from mainstem.nodes.web import web
from mainstem.sources import inference
from mainstem.sources.inspection import introspect
from mainstem.sources.looking import look


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


def test_texts_for_missing_values_are_null_in_columns_of_other_values(bench):
    put(bench.root, "a.csv", "id,n,f,day,ok,region,code\n1,NA,1.5,2024-01-05,true,NA,007\n2,3,N/A,-,,EU,NA\n")
    put(bench.root, "b.csv", 'id,n,f,day,ok,region,code\n3," null ",n/a,,None,-,9\n4,5,-2e3,<NA>,false,EU,?\n')
    node = files("*.csv")
    types = {"n": "int64", "f": "float64", "day": "date", "ok": "boolean", "region": "string", "code": "string"}
    assert introspect(node, bench.root, bench.engine) == {"id": "int64", **types}
    message = bench.collect(node).message
    assert bench.column("n") == [None, 3, None, 5]
    assert bench.column("f") == [1.5, None, None, -2000.0]
    assert bench.column("day") == [date(2024, 1, 5), None, None, None]
    assert bench.column("ok") == [True, None, None, False]
    assert bench.column("region") == ["NA", "EU", "-", "EU"] and bench.column("code") == ["007", "NA", "9", "?"]
    assert "2 missing values in n: NA, null; 2 missing values in f: N/A, n/a" in message
    assert "2 missing values in day: -, <NA>; 1 missing value in ok: None" in message


@pytest.mark.parametrize("sample", [1, 2_000])
def test_a_column_of_texts_for_missing_values_alone_is_text(bench, monkeypatch, sample):
    monkeypatch.setattr(inference, "SAMPLE", sample)
    put(bench.root, "a.csv", "id,x,late\n1,NA,NA\n2,-,\n3,,7\n")
    assert introspect(files("a.csv"), bench.root, bench.engine) == {"id": "int64", "x": "string", "late": "int64"}


@pytest.mark.parametrize("contract", ["evolve", "freeze", "quarantine"])
def test_a_later_text_for_a_missing_value_is_null_under_every_contract(bench, contract):
    node, schema = files("*.csv", contract=contract), {"id": "int64", "x": "int64"}
    put(bench.root, "a.csv", "id,x\n1,1\n2,2\n")
    bench.collect(node, schema)
    put(bench.root, "b.csv", "id,x\n3,NA\n4,4\n5,None\n")
    outcome = bench.collect(node, schema)
    assert (bench.column("x"), outcome.quarantined) == ([1, 2, None, 4, None], 0)
    assert "2 missing values in x: NA, None" in outcome.message and "→" not in outcome.message
    put(bench.root, "c.csv", "id,x\n6,NA\n7,1.5\n8,NaN\n")
    if contract == "freeze":
        with pytest.raises(SourceError, match="x: int64 → float64"):
            bench.collect(node, schema)
    elif contract == "evolve":
        assert "x: int64 → float64, since c.csv, row 2: '1.5'" in bench.collect(node, schema).message
        assert bench.column("x") == [1, 2, None, 4, None, None, 1.5, None]
    else:
        assert (bench.collect(node, schema).quarantined, bench.column("id")) == (1, [1, 2, 3, 4, 5, 6, 8])


def test_a_declared_type_takes_the_texts_that_the_option_names(bench):
    put(bench.root, "a.csv", "id,x\n1,unknown\n2,3\n")
    with pytest.raises(SourceError, match="x: int64 → string"):
        bench.collect(files("a.csv", schema={"id": "int64", "x": "int64"}))
    node = files("a.csv", schema={"id": "int64", "x": "int64"}, options={"nulls": {"x": ["unknown"]}})
    bench.collect(node)
    assert bench.column("x") == [None, 3]
    put(bench.root, "a.csv", "id,x\n1,NA\n2,3\n")
    with pytest.raises(SourceError, match="does not fit") as error:
        bench.collect(node)
    assert error.value.got == "NA"


def test_the_option_for_missing_values_is_checked(bench):
    put(bench.root, "a.csv", "id,size\n1,unknown\n2,3\n")
    for wrong in (["unknown"], {"size": "unknown"}, "unknown"):
        with pytest.raises(DefinitionError, match="the option `nulls` must have the texts of each column"):
            files("a.csv", options={"nulls": wrong})
    with pytest.raises(UnknownName, match="unknown column 'sise'"):
        introspect(files("a.csv", options={"nulls": {"sise": ["unknown"]}}), bench.root, bench.engine)


def test_a_look_at_a_source_reads_missing_values(bench):
    put(bench.root, "a.csv", "id,x\n1,NA\n2,3\n")
    found = look("source", files("a.csv"), bench.root, bench.engine, {}, 10)
    assert [row["x"] for row in found.rows] == [None, 3]
