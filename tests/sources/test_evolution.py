"""Schemas that change: what was stored stays, what comes is stored as it is, and every change is told."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem.nodes.checks as ms
from mainstem.errors import CheckFailed, SourceError
from mainstem.nodes.apis import api
from mainstem.nodes.databases import database
from mainstem.nodes.files import files
from mainstem.nodes.web import web
from mainstem.sources.inspection import introspect

INSTANT = "timestamp('UTC', 6)"


def put(bench, name, text):
    path = bench.root / "data" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def types(bench, table="source"):
    return {f.name: f.type for f in bench.tables[table].fields if not f.name.startswith("_")}


def collect(bench, node):
    """Collect with the schema that is known already, as a project does."""
    known = types(bench) if "source" in bench.tables else None
    return bench.collect(node, known)


def write(bench, kind, name, rows):
    """Write rows as a file of a format, with the types that they have there."""
    if kind == "csv":
        names = list(dict.fromkeys(key for row in rows for key in row))
        lines = [",".join("" if row.get(n) is None else str(row[n]) for n in names) for row in rows]
        return put(bench, f"{name}.csv", "\n".join([",".join(names), *lines]) + "\n")
    if kind == "json":
        return put(bench, f"{name}.json", "".join(json.dumps(row) + "\n" for row in rows))
    path = bench.root / "data" / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


KINDS = pytest.mark.parametrize("kind", ["csv", "json", "parquet"])


@KINDS
@pytest.mark.parametrize("is_gone", [False, True])
def test_an_integer_column_becomes_a_float_column(bench, kind, is_gone):
    first = write(bench, kind, "1", [{"x": 1}, {"x": 2}, {"x": 3}])
    node = files(f"data/*.{kind}")
    collect(bench, node)
    if is_gone:
        first.unlink()
    write(bench, kind, "2", [{"x": 1.5}])
    outcome = collect(bench, node)
    assert bench.column("x") == [1.0, 1.5, 2.0, 3.0]
    assert types(bench) == {"x": "float64"}
    assert "x: int64 → float64, since data/2" in outcome.message
    assert outcome.rows_in == 1
    assert "→" not in collect(bench, node).message


@KINDS
def test_a_new_column_is_null_before_and_a_dropped_one_after(bench, kind):
    write(bench, kind, "1", [{"id": 1, "a": "x"}])
    node = files(f"data/*.{kind}", key="id")
    collect(bench, node)
    write(bench, kind, "2", [{"id": 2, "b": True}])
    outcome = collect(bench, node)
    assert [(row["id"], row["a"], row["b"]) for row in bench.rows()] == [(1, "x", None), (2, None, True)]
    assert "new column b (boolean), since data/2" in outcome.message
    assert "no column a, null" in outcome.message


@KINDS
def test_texts_come_to_a_number_column(bench, kind):
    write(bench, kind, "1", [{"x": 1}, {"x": 2}])
    node = files(f"data/*.{kind}")
    collect(bench, node)
    write(bench, kind, "2", [{"x": "many"}])
    assert "x: int64 → string" in collect(bench, node).message
    assert bench.column("x") == ["1", "2", "many"]


@KINDS
def test_an_instant_comes_to_a_date_column(bench, kind):
    day = "2025-01-05" if kind != "parquet" else pa.scalar("2025-01-05").cast(pa.date32()).as_py()
    at = (
        "2025-01-06T10:00:00Z"
        if kind != "parquet"
        else pa.scalar("2025-01-06T10:00:00").cast(pa.timestamp("us")).as_py()
    )
    write(bench, kind, "1", [{"x": day}])
    node = files(f"data/*.{kind}")
    collect(bench, node)
    write(bench, kind, "2", [{"x": at}])
    assert f"x: date → {INSTANT}" in collect(bench, node).message
    assert list(map(str, bench.column("x"))) == ["2025-01-05 00:00:00+00:00", "2025-01-06 10:00:00+00:00"]


MIXED = ["2025-01-06", "2025-01-07T10:00:00Z"]
MOMENTS = ["2025-01-05 00:00:00+00:00", "2025-01-06 00:00:00+00:00", "2025-01-07 10:00:00+00:00"]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("first", ["2025-01-05", "2025-01-05T00:00:00Z"])
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_dates_and_instants_beside_each_other_are_instants(bench, kind, first, order):
    write(bench, kind, "1", [{"x": first}])
    node = files(f"data/*.{kind}", time="x")
    collect(bench, node)
    write(bench, kind, "2", [{"x": text} for text in MIXED[::order]])
    collect(bench, node)
    assert (types(bench), list(map(str, bench.column("x")))) == ({"x": INSTANT}, MOMENTS)


def test_dates_and_instants_in_the_first_file_of_json_are_instants_and_other_texts_stay(bench):
    rows = [{"x": text, "code": code} for text, code in zip(MIXED, ["20250106", "7"], strict=True)]
    write(bench, "json", "1", rows)
    node = files("data/*.json")
    assert introspect(node, bench.root, bench.engine) == {"x": INSTANT, "code": "string"}
    collect(bench, node)
    assert list(map(str, bench.column("x"))) == MOMENTS[1:]
    write(bench, "json", "2", [{"x": MIXED[0], "code": "8"}, {"x": "soon", "code": "2025-01-01"}])
    collect(bench, node)
    assert types(bench) == {"x": "string", "code": "string"}
    assert sorted(bench.column("x")) == ["2025-01-06", "2025-01-06T00:00:00Z", "2025-01-07T10:00:00Z", "soon"]


@pytest.mark.parametrize("order", [1, -1])
def test_dates_and_instants_of_an_api_are_instants(bench, site, order):
    site.json("/rows", [{"x": text} for text in ["2025-01-05", *MIXED][::order]])
    collect(bench, api(f"{site.url}/rows", paging="none"))
    assert (types(bench), sorted(map(str, bench.column("x")))) == ({"x": INSTANT}, MOMENTS)


def test_instants_become_iso_texts(bench):
    put(bench, "1.csv", "x\n2025-01-05T09:00:00Z\n")
    node = files("data/*.csv")
    collect(bench, node)
    put(bench, "2.csv", "x\nsoon\n")
    collect(bench, node)
    assert bench.column("x") == ["2025-01-05T09:00:00Z", "soon"]


def test_codes_come_to_a_number_column(bench):
    put(bench, "1.csv", "zip\n10115\n")
    node = files("data/*.csv")
    collect(bench, node)
    put(bench, "2.csv", "zip\n01067\n-007\n+4420\n")
    collect(bench, node)
    assert bench.column("zip") == ["+4420", "-007", "01067", "10115"]


CODES = [" 007", "12E3", "1_000", "inf", "9007199254740993.0", "0x1A", "1.", ".5", "+1.5", "1" * 40]


@pytest.mark.parametrize("code", CODES)
def test_what_is_no_plain_number_makes_a_text_of_a_number_column(bench, code):
    put(bench, "1.csv", "x\n1\n")
    node = files("data/*.csv", options={"quote": '"'})
    collect(bench, node)
    put(bench, "2.csv", f'x\n2.5\n"{code}"\n')
    assert "x: int64 → string" in collect(bench, node).message
    assert sorted(bench.column("x")) == sorted(["1", "2.5", code])


@pytest.mark.parametrize(("text", "number"), [("12E3", 12000.0), ("-0.5e-3", -0.0005), ("9007199254740992.0", 2.0**53)])
def test_plain_numbers_come_to_a_float_column(bench, text, number):
    put(bench, "1.csv", "x\n1.5\n")
    node = files("data/*.csv")
    collect(bench, node)
    put(bench, "2.csv", f"x\n{text}\n")
    collect(bench, node)
    assert (types(bench), sorted(bench.column("x"))) == ({"x": "float64"}, sorted([1.5, number]))


def test_an_integer_that_no_float_holds_is_named_or_set_aside(bench):
    put(bench, "1.csv", "id,x\n1,1.5\n")
    collect(bench, files("data/*.csv", key="id"))
    put(bench, "2.csv", "id,x\n2,7\n3,9007199254740993\n")
    before = dict(bench.tables)
    with pytest.raises(SourceError, match="'x' cannot become float64") as error:
        collect(bench, files("data/*.csv", key="id"))
    assert error.value.where.endswith("data/2.csv, row 2") and error.value.got == "9007199254740993 (int64)"
    assert bench.tables == before
    collect(bench, files("data/*.csv", key="id", contract="quarantine"))
    assert [(row["id"], row["x"]) for row in bench.rows()] == [(1, 1.5), (2, 7.0)]
    (row,) = bench.rows("quarantine.source")
    assert row["_check"] == "x=9007199254740993 is not float64" and json.loads(row["_raw"])["id"] == "3"


@pytest.mark.parametrize("known", [1, 1.5])
def test_an_integer_of_json_beside_floats_is_never_rounded(bench, known):
    write(bench, "json", "1", [{"x": known}])
    node = files("data/*.json")
    collect(bench, node)
    write(bench, "json", "2", [{"x": 2.5}, {"x": 2**53 + 1}])
    with pytest.raises(SourceError, match="'x' cannot become float64") as error:
        collect(bench, node)
    assert error.value.got == "9007199254740993 (number)" and error.value.where.endswith("data/2.json")
    numbers = [2.5, 0.1, -1e-9, 1e300, 9.1e15, 2**53, None, 7]
    write(bench, "json", "2", [{"x": each} for each in numbers])
    collect(bench, node)
    assert sorted(map(str, bench.column("x"))) == sorted(str(n and float(n)) for n in [known, *numbers])


VALUES = [date(2025, 1, 5), datetime(2025, 1, 5, 9, tzinfo=UTC), True, 1, 1.5, "a", [1]]


@pytest.mark.parametrize("contract", ["evolve", "freeze"])
@pytest.mark.parametrize("value", VALUES, ids=str)
def test_a_column_of_a_file_without_values_has_no_type(bench, value, contract):
    node = files("data/*.parquet", contract=contract)
    for name, found in (("1", None), ("2", value)):
        write(bench, "parquet", name, [{"id": int(name), "x": found}])
    bench.collect(node)
    known = types(bench)
    write(bench, "parquet", "3", [{"id": 3, "x": None}])
    assert "→" not in collect(bench, node).message
    assert types(bench) == known and known["x"] != "int32"
    assert sorted(map(str, bench.column("x"))) == sorted(map(str, [None, value, None]))


def test_a_column_of_a_table_without_values_has_no_type(bench):
    def insert(*statements):
        with closing(sqlite3.connect(bench.root / "shop.db")) as db, db:
            for statement in statements:
                db.execute(statement)

    insert("CREATE TABLE t (id INTEGER, at DATETIME, day DATE, x REAL)")
    insert("INSERT INTO t VALUES (1, '2025-01-05T09:00:00Z', '2025-01-05', 1.5)")
    node = database("sqlite:///shop.db", table="t", cursor="id", contract="freeze")
    bench.collect(node)
    known = types(bench)
    assert known == {"id": "int64", "at": INSTANT, "day": "date", "x": "float64"}
    insert("INSERT INTO t VALUES (2, NULL, NULL, NULL)")
    collect(bench, node)
    assert types(bench) == known
    assert [row["day"] for row in bench.rows()] == [date(2025, 1, 5), None]


@KINDS
def test_digits_beyond_a_float_are_never_lost(bench, kind):
    write(bench, kind, "1", [{"x": 2**53 + 1}])
    node = files(f"data/*.{kind}")
    collect(bench, node)
    before = dict(bench.tables)
    write(bench, kind, "2", [{"x": 1.5}])
    with pytest.raises(SourceError, match="'x' cannot become float64") as error:
        collect(bench, node)
    assert error.value.got == "9007199254740993 (int64)" and "decimal" in error.value.hint
    assert bench.tables == before
    node = files(f"data/*.{kind}", schema={"x": "decimal(38, 6)"})
    bench.collect(node, {"x": "decimal(38, 6)"})
    assert bench.column("x") == [Decimal("1.500000"), Decimal("9007199254740993.000000")]


def test_a_declared_type_does_not_change(bench):
    put(bench, "1.csv", "x\n007\n")
    node = files("data/*.csv", schema={"x": "int64"})
    collect(bench, node)
    assert bench.column("x") == [7]
    put(bench, "2.csv", "x\n1.5\n")
    with pytest.raises(SourceError, match="x: int64 → float64") as error:
        collect(bench, node)
    assert error.value.hint == "the declaration fixes the type of 'x': change schema={…}"


def test_a_time_never_becomes_a_text(bench):
    put(bench, "1.csv", "id,at\n1,2025-01-05T09:00:00Z\n")
    node = files("data/*.csv", time="at")
    bench.collect(node)
    put(bench, "2.csv", "id,at\n2,soon\n")
    with pytest.raises(SourceError, match=r"at: timestamp.* → string") as error:
        collect(bench, node)
    assert error.value.where.endswith("data/2.csv, row 1: 'soon'")


@KINDS
def test_freeze_fails_with_both_schemas(bench, kind):
    write(bench, kind, "1", [{"id": 1, "x": 1}])
    node = files(f"data/*.{kind}", contract="freeze")
    collect(bench, node)
    before = dict(bench.tables)
    write(bench, kind, "2", [{"id": 2, "x": 1.5}])
    with pytest.raises(SourceError) as error:
        collect(bench, node)
    assert error.value.what == "the schema of the source changed: x: int64 → float64"
    assert (error.value.got, error.value.expected) == ("x float64, id int64", "x int64, id int64")
    assert bench.tables == before


def test_a_policy_by_column(bench):
    put(bench, "1.csv", "id,x,y\n1,1,1\n")
    node = files("data/*.csv", contract={"x": "freeze"})
    collect(bench, node)
    put(bench, "2.csv", "id,x,y\n2,2,2.5\n")
    assert "y: int64 → float64" in collect(bench, node).message
    put(bench, "3.csv", "id,x,y\n3,3.5,3\n")
    with pytest.raises(SourceError, match="x: int64 → float64"):
        collect(bench, node)


@KINDS
def test_quarantine_sets_rows_aside_as_they_came(bench, kind):
    write(bench, kind, "1", [{"id": 1, "x": 1}])
    node = files(f"data/*.{kind}", contract="quarantine")
    collect(bench, node)
    write(bench, kind, "2", [{"id": 2, "x": 2.0}, {"id": 3, "x": 2.5}])
    outcome = collect(bench, node)
    aside = bench.rows("quarantine.source")
    kept = [1, 2] if kind == "parquet" else [1]  # the text 2.0, and the JSON, are no integers
    assert bench.column("id") == kept or kind != "parquet"
    assert outcome.rows_in == 2 and outcome.published + outcome.quarantined == 2
    row = next(row for row in aside if json.loads(row["_raw"])["x"] in (2.5, "2.5"))
    assert row["_check"] == "x=2.5 is not int64" and row["_origin"] == f"data/2.{kind}"
    assert types(bench) == {"id": "int64", "x": "int64"}
    assert "not fit the schema" in outcome.message


def test_rows_with_an_unknown_column_are_set_aside(bench):
    put(bench, "1.csv", "id\n1\n")
    node = files("data/*.csv", contract="quarantine")
    collect(bench, node)
    put(bench, "2.csv", "id,note\n2,\n3,hello\n")
    collect(bench, node)
    assert bench.column("id") == [1, 2]
    (row,) = bench.rows("quarantine.source")
    assert (row["_check"], json.loads(row["_raw"])) == ("unknown column note", {"id": "3", "note": "hello"})


def test_rows_set_aside_go_when_their_file_is_replaced_and_stay_when_the_schema_changes(bench):
    put(bench, "1.csv", "id,x\n1,1\n")
    node = files("data/*.csv", contract={"x": "quarantine"})
    collect(bench, node)
    put(bench, "2.csv", "id,x\n2,a\n")
    put(bench, "3.csv", "id,x\n3,b\n")
    collect(bench, node)
    put(bench, "2.csv", "id,x,note\n2,2,ok\n")
    collect(bench, node)
    assert bench.column("id") == [1, 2]
    assert [json.loads(row["_raw"])["id"] for row in bench.rows("quarantine.source")] == ["3"]


# ── the other kinds ───────────────────────────────────────────────────────────────────────────────────


def test_later_pages_of_an_api_widen_and_add(bench, site):
    pages = [[{"id": 1, "x": 1}], [{"id": 2, "x": 1.5}], [{"id": 3, "x": 2, "late": "z"}], [{"id": 4, "x": None}]]

    def answer(query, _):
        page = int(query.get("page", 1))
        return 200, {}, json.dumps({"items": pages[page - 1] if page <= len(pages) else []}).encode()

    site.call("/rows", answer)
    outcome = bench.collect(api(f"{site.url}/rows", records="items", paging="page"))
    rows = [(row["id"], row["x"], row["late"]) for row in bench.rows()]
    assert rows == [(1, 1.0, None), (2, 1.5, None), (3, 2.0, "z"), (4, None, None)]
    assert f"x: int64 → float64, since {site.url}/rows, page 2: 1.5" in outcome.message
    assert "new column late (string)" in outcome.message


def test_records_of_an_api_are_set_aside(bench, site):
    node = api(f"{site.url}/rows", paging="none", contract="quarantine")
    site.json("/rows", [{"id": 1, "x": 1}])
    collect(bench, node)
    site.json("/rows", [{"id": 1, "x": 1}, {"id": 2, "x": "two"}, {"id": 3, "y": 1}, {"id": 4}])
    outcome = collect(bench, node)
    assert bench.column("id") == [1, 4]
    assert [(r["_check"], json.loads(r["_raw"])["id"]) for r in bench.rows("quarantine.source")] == [
        ("unknown column y", 3),
        ("x=two is not int64", 2),
    ]
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (4, 2, 2)


def test_a_cursor_goes_on_after_a_change(bench, site):
    """The rows at the last value are recognised, though they have another type and more columns now."""
    node = api(f"{site.url}/rows", cursor="at", paging="none")
    site.json("/rows", [{"at": 1, "x": 1}, {"at": 2, "x": 2}])
    collect(bench, node)
    site.json("/rows", [{"at": 2, "x": 2}, {"at": 3, "x": 2.5, "y": "new"}])
    assert collect(bench, node).rows_in == 1
    assert [(row["at"], row["x"], row["y"]) for row in bench.rows()] == [
        (1, 1.0, None),
        (2, 2.0, None),
        (3, 2.5, "new"),
    ]
    site.json("/rows", [{"at": 3, "x": 2.5, "y": "new"}])
    assert collect(bench, node).rows_in == 0


def test_a_database_table_that_changes(bench):
    path = bench.root / "shop.db"

    def run(*statements):
        with sqlite3.connect(path) as db:
            for statement in statements:
                db.execute(statement)
        db.close()

    run("CREATE TABLE t (id INTEGER, x INTEGER)", "INSERT INTO t VALUES (1, 1)")
    node = database("sqlite:///shop.db", table="t", cursor="id")
    collect(bench, node)
    run("ALTER TABLE t ADD COLUMN note TEXT", "INSERT INTO t VALUES (2, 2.5, 'n')")
    outcome = collect(bench, node)
    assert [(row["id"], row["x"], row["note"]) for row in bench.rows()] == [(1, 1.0, None), (2, 2.5, "n")]
    assert "x: int64 → float64" in outcome.message and "new column note (string)" in outcome.message


def test_texts_of_a_page_that_are_no_numbers_any_more(bench, site):
    site.text("/", "<table><tr><td class=a>1</td></tr></table>")
    node = web(f"{site.url}/", rows="tr", fields={"a": "td.a"})
    bench.collect(node, {"a": "int64"})
    assert bench.column("a") == [1]
    site.text("/", "<table><tr><td class=a>1</td></tr><tr><td class=a>n/a</td></tr></table>")
    outcome = collect(bench, node)
    assert bench.column("a") == ["1", "n/a"] and "a: int64 → string" in outcome.message


# ── checks ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_check_is_held_against_what_is_stored(bench):
    put(bench, "1.csv", "id,x\n1,1\n2,-2\n")
    collect(bench, files("data/*.csv"))
    with pytest.raises(CheckFailed, match="between"):
        collect(bench, files("data/*.csv", checks=[ms.between("x", 0, 9)]))
    outcome = collect(bench, files("data/*.csv", checks=[ms.between("x", 0, 9, severity="quarantine")]))
    assert bench.column("id") == [1]
    assert bench.column("id", "quarantine.source") == [2]
    assert outcome.quarantined == 1


def test_a_column_without_a_value_stays_text_if_a_row_set_aside_has_one(bench):
    node = files("data/*.csv", key="id", checks=[ms.between("id", 1, 100, severity="quarantine")])
    put(bench, "1.csv", "id,x\n1,\n-2,abc\n")
    collect(bench, node)
    put(bench, "2.csv", "id,x\n3,5\n")
    collect(bench, node)
    assert [row["x"] for row in bench.rows()] == [None, "5"]
    assert [row["x"] for row in bench.rows("quarantine.source")] == ["abc"]


def test_files_without_a_header_keep_their_columns_where_one_has_no_value(bench):
    node = files("data/*.csv", options={"header": False})
    put(bench, "1.csv", "1,,a\n2,,b\n")
    collect(bench, node)
    put(bench, "2.csv", "3,5,c\n")
    collect(bench, node)
    assert [tuple(row.values())[:3] for row in bench.rows()] == [(1, None, "a"), (2, None, "b"), (3, 5, "c")]


def test_files_without_a_header_have_the_columns_of_the_declared_schema_or_numbered_ones(bench):
    put(bench, "1.csv", "1,x\n2,y\n")
    collect(bench, files("data/*.csv", options={"header": False}, schema={"id": "int64", "name": "string"}))
    assert [(row["id"], row["name"]) for row in bench.rows()] == [(1, "x"), (2, "y")]
    plain = files("data/*.csv", options={"header": False})
    assert introspect(plain, bench.root, bench.engine) == {"column0": "int64", "column1": "string"}
