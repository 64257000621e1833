"""Excel, Avro, compressed and packed files, and CSV as it is found in the world."""

import datetime as dt
import gzip
import io
import zipfile
from decimal import Decimal

import fastavro
import openpyxl
import pyarrow as pa
import pytest

from mainstem.errors import DefinitionError, SourceError
from mainstem.nodes.files import files


def put(bench, name, content):
    path = bench.root / "data" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def book(bench, name, **sheets):
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(row)
    path = bench.root / "data" / name
    path.parent.mkdir(exist_ok=True)
    workbook.save(path)
    return path


def rows(bench):
    return [{k: v for k, v in row.items() if k != "_seq"} for row in bench.rows()]


# ── Excel ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sheet_is_read_with_the_types_of_its_cells(bench):
    book(
        bench,
        "a.xlsx",
        Sales=[
            ["id", " amount ", "day", "at", "paid", "code", "mixed", None],
            [1, 2.5, dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, 12, 30), True, "007", 1, None],
            [None, None, None, None, None, None, None, None],
            [2, 3, dt.date(2024, 3, 1), dt.datetime(2024, 1, 2), False, "8", "x", None],
        ],
    )
    bench.collect(files("data/*.xlsx", key="id"))
    utc = dt.UTC
    assert rows(bench) == [
        {
            "id": 1, "amount": 2.5, "day": dt.date(2024, 2, 29),
            "at": dt.datetime(2024, 1, 1, 12, 30, tzinfo=utc), "paid": True, "code": "007", "mixed": "1",
            "_file": "data/a.xlsx",
        },
        {
            "id": 2, "amount": 3.0, "day": dt.date(2024, 3, 1),
            "at": dt.datetime(2024, 1, 2, tzinfo=utc), "paid": False, "code": "8", "mixed": "x",
            "_file": "data/a.xlsx",
        },
    ]  # fmt: skip


def test_a_changed_workbook_replaces_its_rows_and_a_column_may_widen(bench):
    book(bench, "a.xlsx", S=[["id", "n"], [1, 1]])
    book(bench, "b.xlsx", S=[["id", "n"], [2, 2]])
    bench.collect(files("data/*.xlsx", key="id"))
    book(bench, "b.xlsx", S=[["id", "n"], [2, 2.5], [3, 3]])
    bench.collect(files("data/*.xlsx", key="id"))
    assert sorted((row["id"], row["n"]) for row in rows(bench)) == [(1, 1.0), (2, 2.5), (3, 3.0)]


def test_texts_for_missing_values_in_a_column_of_other_cells_are_null_and_told(bench):
    day = dt.date(2024, 2, 29)
    book(bench, "a.xlsx", S=[["id", "n", "day", "code", "only"], [1, "NA", day, "-", "-"], [2, 2.5, " - ", "7b", "-"]])
    outcome = bench.collect(files("data/*.xlsx", key="id"))
    wanted = [{"n": None, "day": day, "code": "-", "only": "-"}, {"n": 2.5, "day": None, "code": "7b", "only": "-"}]
    assert [{name: row[name] for name in wanted[0]} for row in rows(bench)] == wanted
    assert "1 missing value in n: NA; 1 missing value in day: -" in outcome.message
    put(bench, "b.zip", zipped(**{"b.xlsx": book(bench, "b.xlsx", S=[["id", "n"], [3, 1], [4, "?"]]).read_bytes()}))
    (bench.root / "data" / "b.xlsx").unlink()
    bench.collect(files("data/*", key="id", format="excel"))
    assert [row["n"] for row in rows(bench)] == [None, 2.5, 1.0, None]


def test_texts_stay_in_a_column_of_a_workbook_that_is_text_or_whose_type_is_declared(bench):
    book(bench, "a.xlsx", S=[["id", "code"], [1, "7b"]])
    bench.collect(files("data/*.xlsx", key="id"))
    book(bench, "b.xlsx", S=[["id", "code"], [2, 7], [3, "-"]])
    outcome = bench.collect(files("data/*.xlsx", key="id"))
    assert [row["code"] for row in rows(bench)] == ["7b", "7", "-"] and "missing" not in outcome.message
    with pytest.raises(SourceError, match="code"):
        bench.collect(files("data/b.xlsx", key="id", schema={"code": "float64"}))


def test_a_workbook_of_several_sheets_needs_a_name(bench):
    book(bench, "a.xlsx", Notes=[["read me"]], Sales=[["export of today"], ["id"], [1]])
    with pytest.raises(SourceError, match="several sheets") as error:
        bench.collect(files("data/*.xlsx"))
    assert "options={'sheet': 'Notes'}" in str(error.value)
    with pytest.raises(SourceError, match=r"no sheet 'Sale'(.|\n)*did you mean 'Sales'"):
        bench.collect(files("data/*.xlsx", options={"sheet": "Sale"}))
    with pytest.raises(SourceError, match="no option 'shet'"):
        bench.collect(files("data/*.xlsx", options={"shet": "Sales"}))
    bench.collect(files("data/*.xlsx", options={"sheet": "Sales", "skip": 1}))
    assert [row["id"] for row in rows(bench)] == [1]


def test_a_file_that_is_no_workbook_is_named(bench):
    put(bench, "a.xlsx", b"PK\x03\x04 but not a workbook")
    with pytest.raises(SourceError, match="Excel file cannot be read") as error:
        bench.collect(files("data/*.xlsx"))
    assert "a.xlsx" in str(error.value)


# ── Avro ──────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = {
    "type": "record",
    "name": "sale",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "shop", "type": {"type": "record", "name": "shop", "fields": [{"name": "city", "type": "string"}]}},
    ],
}


def avro(records, codec="deflate"):
    stream = io.BytesIO()
    fastavro.writer(stream, fastavro.parse_schema(SCHEMA), records, codec=codec)
    return stream.getvalue()


def sale(id, price=None):
    at = dt.datetime(2024, 1, id, tzinfo=dt.UTC)
    return {"id": id, "at": at, "price": price, "tags": ["a", "b"], "shop": {"city": "Köln"}}


def test_avro_keeps_digits_instants_lists_and_nested_values(bench):
    put(bench, "a.avro", avro([sale(1, Decimal("12.30")), sale(2)]))
    bench.collect(files("data/*.avro", key="id", time="at"))
    found = rows(bench)
    assert [row["price"] for row in found] == [Decimal("12.30"), None]
    assert found[0]["at"] == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert found[0]["tags"] == ["a", "b"]
    assert found[0]["shop"] == '{"city": "Köln"}'


def test_a_damaged_avro_file_is_named_and_nothing_is_stored(bench):
    whole = avro([sale(1)])
    put(bench, "a.avro", whole[:-20])
    with pytest.raises(SourceError, match="Avro file cannot be read"):
        bench.collect(files("data/*.avro"))


# ── compressed and packed ─────────────────────────────────────────────────────────────────────────────

CSV = "id,v\n1,x\n2,y\n"


def zst(content):
    return pa.compress(content.encode(), codec="zstd", asbytes=True)


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("suffix, pack", [("gz", lambda text: gzip.compress(text.encode())), ("zst", zst)])
def test_compressed_csv_and_json_are_read(bench, suffix, pack):
    put(bench, f"a.csv.{suffix}", pack(CSV))
    bench.collect(files(f"data/*.csv.{suffix}", key="id"))
    assert [(row["id"], row["v"]) for row in rows(bench)] == [(1, "x"), (2, "y")]
    put(bench, f"a.jsonl.{suffix}", pack('{"id": 7}\n{"id": 8}\n'))
    bench.collect(files(f"data/*.jsonl.{suffix}"))
    assert [row["id"] for row in rows(bench)] == [7, 8]


def test_the_members_of_an_archive_are_rows_of_the_archive(bench):
    members = {"one.csv": CSV, "sub/two.csv": "id,v\n3,z\n", "__MACOSX/x.csv": "junk", "README.txt": "read me"}
    put(bench, "a.csv.zip", zipped(**members))
    bench.collect(files("data/*.csv.zip", key="id"))
    assert [(row["id"], row["_file"]) for row in rows(bench)] == [(n, "data/a.csv.zip") for n in (1, 2, 3)]
    put(bench, "a.csv.zip", zipped(**{"one.csv": "id,v\n9,q\n"}))
    put(bench, "b.csv.zip", zipped(**{"one.csv": "id,v\n5,r\n"}))
    outcome = bench.collect(files("data/*.csv.zip", key="id"))
    assert sorted(row["id"] for row in rows(bench)) == [5, 9]
    assert "2 files" in outcome.message


def test_an_archive_may_hold_a_workbook_or_a_file_with_mixed_line_ends(bench):
    path = book(bench, "x.xlsx", S=[["id"], [4]])
    put(bench, "a.zip", zipped(**{"x.xlsx": path.read_bytes()}))
    bench.collect(files("data/a.zip", format="excel"))
    assert [row["id"] for row in rows(bench)] == [4]
    put(bench, "b.zip", zipped(**{"x.csv": "id\r\n1\n2\r\n"}))
    bench.collect(files("data/b.zip", format="csv"))
    assert [row["id"] for row in rows(bench)] == [1, 2]


def test_an_archive_that_is_damaged_empty_or_nested_is_named(bench):
    put(bench, "a.csv.zip", zipped(**{"one.csv": CSV})[:-30])
    with pytest.raises(SourceError, match="archive cannot be unpacked"):
        bench.collect(files("data/*.csv.zip"))
    put(bench, "a.csv.zip", zipped())
    with pytest.raises(SourceError, match="archive has no file"):
        bench.collect(files("data/*.csv.zip"))
    put(bench, "a.csv.zip", zipped(**{"in.zip": zipped(**{"one.csv": CSV})}))
    with pytest.raises(SourceError, match="archive is within an archive"):
        bench.collect(files("data/*.csv.zip"))


def test_a_packed_file_at_an_absolute_path_is_told_by_it(bench):
    path = put(bench, "a.csv.zip", zipped(**{"one.csv": CSV}))
    bench.collect(files(str(path), key="id"))
    assert {row["_file"] for row in rows(bench)} == {str(path)}
    other = put(bench, "b.csv", CSV)
    bench.collect(files(str(other), key="id"))
    assert {row["_file"] for row in rows(bench)} == {str(other)}


# ── CSV ───────────────────────────────────────────────────────────────────────────────────────────────


def test_line_ends_of_two_kinds_are_read_and_kept_within_quotes(bench):
    put(bench, "a.csv", b'id,v\r\n1,"two\r\nlines"\n2,"a ""b"" c"\r\n3,"x\ny"\n')
    bench.collect(files("data/*.csv", key="id"))
    assert [row["v"] for row in rows(bench)] == ["two\r\nlines", 'a "b" c', "x\ny"]


def test_a_file_whose_own_name_looks_like_a_glob_is_that_file(bench):
    put(bench, "r[1].csv", "id\n1\n")
    put(bench, "r1.csv", "id\n2\n")
    bench.collect(files("data/r[1].csv"))
    assert [(row["id"], row["_file"]) for row in rows(bench)] == [(1, "data/r[1].csv")]


def test_an_unknown_suffix_or_a_setting_without_a_url_is_refused():
    with pytest.raises(DefinitionError, match="format of the files is unknown"):
        files("data/*.dat")
    with pytest.raises(DefinitionError, match="format of the files is unknown"):
        files("data/*.zip")
    with pytest.raises(DefinitionError, match="for files at a URL"):
        files("data/*.csv", storage={"region": "eu"})
    with pytest.raises(DefinitionError, match=r"no setting 'acces_key'(.|\n)*did you mean 'access_key'"):
        files("s3://b/*.csv", storage={"acces_key": "x"})


RAGGED = 'a,b,c\n1,2,3\n4,5\n6,7,8,9\n"x"y",2,3\n7,8,9\n'


def test_a_ragged_row_fails_with_what_may_be_done(bench):
    put(bench, "a.csv", RAGGED)
    with pytest.raises(SourceError, match="2 columns instead of 3") as error:
        bench.collect(files("data/*.csv"))
    assert "null_padding" in str(error.value) and "quarantine" in str(error.value)
    put(bench, "a.csv", "Report of today\nfrom the shop\na,b\n1,2\n")
    with pytest.raises(SourceError, match="2 columns instead of 1") as error:
        bench.collect(files("data/*.csv"))
    assert 'options={"skip": N}' in str(error.value)
    bench.collect(files("data/*.csv", options={"skip": 2}))
    assert [(row["a"], row["b"]) for row in rows(bench)] == [(1, 2)]


def test_lines_that_are_left_out_are_counted(bench):
    put(bench, "a.csv", RAGGED)
    outcome = bench.collect(files("data/*.csv", options={"ignore_errors": True}))
    assert [row["a"] for row in rows(bench)] == [1, 7]
    assert "3 lines are no row and left out, the first in data/a.csv, line 3: 4,5" in outcome.message


def test_lines_that_are_no_rows_are_set_aside_and_replaced_with_their_file(bench):
    put(bench, "a.csv", RAGGED)
    source = files("data/*.csv", contract="quarantine")
    outcome = bench.collect(source)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (5, 2, 3)
    aside = bench.rows("quarantine.source")
    assert sorted((row["_file"], row["_raw"]) for row in aside) == [
        ("data/a.csv", '"4,5"'), ("data/a.csv", '"6,7,8,9"'), ("data/a.csv", '"\\"x\\"y\\",2,3"')
    ]  # fmt: skip
    assert any("line 3: Expected Number of Columns: 3 Found: 2" in row["_check"] for row in aside)
    put(bench, "a.csv", "a,b,c\n1,2,3\n4,5,6\n")
    bench.collect(source)
    assert [row["a"] for row in rows(bench)] == [1, 4]
    assert bench.rows("quarantine.source") == []


@pytest.mark.parametrize(
    "content", [b"n\x00,t\n1,a\n", "prix,\u00e9\n1,a\n".encode("latin-1"), b"PAR1\x15\x04\x15\x10\n1\n"]
)
def test_a_header_that_is_no_text_is_refused(bench, content):
    put(bench, "a.csv", content)
    with pytest.raises(SourceError, match="header of a CSV file is not text") as error:
        bench.collect(files("data/*.csv"))
    assert "encoding" in str(error.value)


def test_files_above_the_project_are_staged_beside_nothing_of_their_own(bench, tmp_path):
    above = bench.root.parent / "above"
    above.mkdir()
    own = above / "a.csv"
    own.write_bytes(b"id,v\r\n1,x\n2,y\r\n")
    bench.collect(files("../above/*.csv", key="id"))
    assert [(row["id"], row["_file"]) for row in rows(bench)] == [(1, "../above/a.csv"), (2, "../above/a.csv")]
    assert own.read_bytes() == b"id,v\r\n1,x\n2,y\r\n"


def test_members_of_another_format_are_told(bench):
    put(bench, "a.csv.zip", zipped(**{"one.csv": CSV, "two.tsv": "id\tv\n9\tz\n"}))
    outcome = bench.collect(files("data/*.csv.zip"))
    assert "1 of other formats left out of archives: data/a.csv.zip/two.tsv" in outcome.message
