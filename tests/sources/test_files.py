import gzip
import json
import os

import pytest

import mainstem.nodes.checks as ms
from mainstem.errors import CheckFailed, SourceError
from mainstem.nodes.files import files
from mainstem.sources.inspection import observe

HEADER = "id,at,delay\n"
SCHEMA = {"id": "int64", "at": "timestamp('UTC', 6)", "delay": "float64"}


def source(**more):
    return files("data/*.csv", **{"key": "id", "time": "at", **more})


def put(bench, name, *rows, header=HEADER):
    path = bench.root / "data" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def row(id, day=1, delay="1.5"):
    return f"{id},2013-01-{day:02}T10:00:00Z,{delay}"


def test_every_file_lands_once_in_order_of_landing(bench):
    put(bench, "b.csv", row(3), row(4))
    put(bench, "a.csv", row(1), row(2))
    outcome = bench.collect(source())
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (4, 4, 0)
    assert {r["id"]: r["_seq"] for r in bench.rows()} == {1: 0, 2: 1, 3: 2, 4: 3}
    assert str(bench.rows()[0]["at"]) == "2013-01-01 10:00:00+00:00"
    assert {r["_file"]: r["id"] for r in bench.rows()} == {"data/a.csv": 2, "data/b.csv": 4}


def test_nothing_new_keeps_the_snapshot(bench):
    put(bench, "a.csv", row(1))
    first = bench.collect(source()).tables["source"]
    again = bench.collect(source())
    assert again.tables["source"].id == first.id
    assert (again.message, again.rows_in) == ("nothing new", 0)


def test_a_touched_file_is_nothing_new_and_is_remembered(bench):
    path = put(bench, "a.csv", row(1))
    node = source()
    first = bench.collect(node).tables["source"]
    os.utime(path, ns=(1, 1))
    assert observe(node, bench.root, first.cursor) != first.properties["mainstem.observed"]
    second = bench.collect(node).tables["source"]
    assert second.id == first.id
    assert observe(node, bench.root, second.cursor) == second.properties["mainstem.observed"]


def test_a_new_file_is_added_and_a_changed_one_replaces_its_rows(bench):
    put(bench, "a.csv", row(1), row(2))
    bench.collect(source())
    put(bench, "b.csv", row(3))
    assert bench.collect(source()).rows_in == 1
    put(bench, "a.csv", row(1, delay="9"), row(5), row(6))
    outcome = bench.collect(source())
    assert outcome.rows_in == 3
    assert bench.column("id") == [1, 3, 5, 6]
    assert bench.column("delay") == [9.0, 1.5, 1.5, 1.5]
    assert sorted(bench.column("_seq")) == [2, 3, 4, 5], "the order of landing goes on; it is never given twice"


def test_rows_of_a_file_that_is_gone_stay(bench):
    put(bench, "a.csv", row(1))
    gone = put(bench, "b.csv", row(2))
    bench.collect(source())
    gone.unlink()
    outcome = bench.collect(source())
    assert "no longer exist" in outcome.message
    assert bench.column("id") == [1, 2]


def test_an_empty_file_and_an_empty_field(bench):
    put(bench, "a.csv")
    put(bench, "b.csv", row(1, delay=""))
    bench.collect(source(), SCHEMA)
    assert bench.rows()[0]["delay"] is None
    assert bench.collect(source(), SCHEMA).message == "nothing new"


def test_columns_may_come_in_another_order_and_more_of_them(bench):
    put(bench, "a.csv", "1.5,new,1,2013-01-01T10:00:00Z", header="delay,more,id,at\n")
    bench.collect(source(), SCHEMA)
    found = {"id": 1, "at": None, "delay": 1.5, "more": "new", "_seq": 0, "_file": "data/a.csv"}
    assert bench.rows()[0] | {"at": None} == found


def test_a_header_without_a_name_with_spaces_and_with_repeats(bench):
    put(bench, "a.csv", "0,x,1.5,2.5", header=", name , v,v\n")
    bench.collect(files("data/*.csv"))
    (row,) = bench.rows()
    assert row == {"column0": 0, "name": "x", "v": 1.5, "v_1": 2.5, "_file": "data/a.csv"}


def test_tabs_and_an_array_of_objects(bench):
    put(bench, "a.tsv", "1\ta,b", header="id\tname\n")
    bench.collect(files("data/*.tsv"))
    assert [(row["id"], row["name"]) for row in bench.rows()] == [(1, "a,b")]
    put(bench, "a.json", '[{"id": 1, "tags": ["x"]}, {"id": 2, "deep": {"a": 1}}]', header="")
    bench.collect(files("data/*.json"))
    assert [(row["id"], row["tags"], row["deep"]) for row in bench.rows()] == [(1, ["x"], None), (2, None, '{"a":1}')]


def test_gzip(bench):
    path = put(bench, "a.csv", row(1))
    (bench.root / "data" / "b.csv.gz").write_bytes(gzip.compress((HEADER + row(2) + "\n").encode()))
    assert path.exists()
    bench.collect(files("data/*.csv*", format="csv", time="at"))
    assert bench.column("id") == [1, 2]


def test_parquet_and_json(bench):
    put(bench, "a.csv", row(1))
    with bench.engine.session({}) as session:
        session._connection.execute(
            f"COPY (SELECT 1 AS id, TIMESTAMPTZ '2013-01-01T10:00:00Z' AS at) TO '{bench.root}/data/x.parquet'"
        )
    bench.collect(files("data/*.parquet", time="at"))
    assert str(bench.rows()[0]["at"]) == "2013-01-01 10:00:00+00:00"
    (bench.root / "data" / "x.jsonl").write_text(json.dumps({"id": 7, "at": "2013-01-01T10:00:00Z"}) + "\n")
    bench.collect(files("data/*.jsonl", time="at"))
    assert bench.column("id") == [7]


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────


def refused(bench, **more):
    before = dict(bench.tables)
    with pytest.raises(SourceError) as error:
        bench.collect(source(**more), SCHEMA)
    assert bench.tables == before
    return error.value


def test_no_file_at_all(bench):
    assert refused(bench).what == "no file matches 'data/*.csv'"


def test_a_row_that_is_cut_names_file_and_line(bench):
    put(bench, "ok.csv", row(1))
    path = put(bench, "zz.csv", row(2))
    path.write_text(path.read_text() + "3,2013-01-0")
    error = refused(bench)
    assert "2 columns instead of 3" in error.what
    assert error.where.endswith("zz.csv, line 3")


def test_a_file_without_its_last_line_break_is_told(bench):
    path = put(bench, "a.csv", row(1))
    path.write_text(path.read_text().rstrip("\n"))
    assert "perhaps truncated: data/a.csv" in bench.collect(source()).message


def test_a_cut_gzip_is_refused(bench):
    (bench.root / "data").mkdir()
    whole = gzip.compress((HEADER + "".join(row(i) + "\n" for i in range(5_000))).encode())
    (bench.root / "data" / "a.csv").write_text(HEADER)
    (bench.root / "data" / "b.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError):
        bench.collect(files("data/*.csv*", format="csv", time="at"), SCHEMA)


def test_a_value_of_another_type_names_column_value_and_line(bench):
    put(bench, "a.csv", row(1), row(2, delay="late"))
    error = refused(bench, contract="freeze")
    assert error.what == "the schema of the source changed: delay: float64 → string"
    assert error.where.endswith("a.csv, row 2: 'late'")


def test_a_missing_column_names_the_near_one(bench):
    put(bench, "a.csv", "1,2013-01-01T10:00:00Z,1.5", header="id,at,dalay\n")
    error = refused(bench, contract={"delay": "freeze"})
    assert error.what == "the schema of the source changed: no column delay, null"
    assert error.got.startswith("id int64") and error.expected.startswith("delay float64")


def test_after_a_failure_the_next_run_goes_on(bench):
    put(bench, "a.csv", row(1))
    bench.collect(source())
    bad = put(bench, "b.csv", row(2, delay="late"))
    refused(bench, contract="freeze")
    bad.write_text(HEADER + row(2) + "\n")
    assert bench.collect(source()).rows_in == 1
    assert bench.column("id") == [1, 2]


def test_a_crash_between_write_and_commit_leaves_nothing_and_repeats_nothing(bench, monkeypatch):
    put(bench, "a.csv", row(1))
    commit = bench.lake.commit
    monkeypatch.setattr(bench.lake, "commit", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        bench.collect(source())
    monkeypatch.setattr(bench.lake, "commit", commit)
    bench.collect(source())
    assert bench.column("id") == [1]


# ── checks ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_comes_twice_blocks(bench):
    put(bench, "a.csv", row(1), row(1))
    with pytest.raises(CheckFailed) as error:
        bench.collect(source())
    assert error.value.what == "source: unique(id) is violated by 1 of 2 rows"
    assert "is kept for inspection" in error.value.hint


def test_rows_set_aside_go_when_their_file_is_replaced(bench):
    node = source(checks=[ms.between("delay", 0, 60, severity="quarantine")], schema={"delay": "float64"})
    put(bench, "a.csv", row(1), row(2, delay="900"), row(3, delay="nan"))
    put(bench, "b.csv", row(4, delay="-1"))
    outcome = bench.collect(node)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (4, 1, 3)
    assert bench.column("id", "quarantine.source") == [2, 3, 4]
    assert bench.rows("quarantine.source")[0]["_check"] == "between(delay, 0, 60)"
    put(bench, "a.csv", row(1), row(2, delay="9"), row(3))
    outcome = bench.collect(node)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (3, 3, 0)
    assert bench.column("id") == [1, 2, 3]
    assert bench.column("id", "quarantine.source") == [4]


def test_of_a_key_that_comes_again_in_another_file_the_first_row_stays(bench):
    node = source(checks=[ms.unique("id", severity="quarantine")])
    put(bench, "a.csv", row(1), row(2), row(2, delay="7"))
    put(bench, "b.csv", row(2, delay="8"), row(3))
    outcome = bench.collect(node)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (5, 3, 2)
    put(bench, "c.csv", row(3, delay="9"), row(4), row(4, delay="9"))
    outcome = bench.collect(node)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (3, 1, 2)
    assert [(r["id"], r["delay"]) for r in bench.rows()] == [(1, 1.5), (2, 1.5), (3, 1.5), (4, 1.5)]
    assert bench.column("delay", "quarantine.source") == [7.0, 8.0, 9.0, 9.0]
