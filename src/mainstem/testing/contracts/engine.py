"""The contract of the `Engine` port."""

from __future__ import annotations

import datetime as clock
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from itertools import chain, product
from pathlib import Path
from typing import Any, ClassVar

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

from mainstem.errors import EngineError, MainstemError, SourceError
from mainstem.ports import Engine, Field, Partition, RawFiles, Scan, Target

TYPES = {
    "flag": "boolean",
    "tiny": "int8",
    "whole": "int64",
    "huge": "uint64",
    "single": "float32",
    "real": "float64",
    "money": "decimal(12, 3)",
    "text": "string",
    "raw": "binary",
    "day": "date",
    "hour": "time",
    "at": "timestamp('UTC', 6)",
    "local": "timestamp(6)",
    "list": "array<float64>",
    "texts": "array<string>",
}
INSTANT = clock.datetime(2013, 12, 31, 23, 59, 59, 999_999, tzinfo=clock.UTC)
ROWS: list[dict[str, Any]] = [
    dict.fromkeys(TYPES),
    {
        "flag": True,
        "tiny": -128,
        "whole": -(2**63),
        "huge": 2**64 - 1,
        "single": 0.5,
        "real": math.inf,
        "money": Decimal("-123456789.125"),
        "text": "",
        "raw": b"\x00\xff",
        "day": clock.date(1969, 2, 28),
        "hour": clock.time(23, 59, 59, 999_999),
        "at": INSTANT,
        "local": INSTANT.replace(tzinfo=None),
        "list": [0.5, None],
        "texts": [],
    },
    {
        **dict.fromkeys(TYPES),
        "real": -math.inf,
        "whole": 2**63 - 1,
        "text": "Größe ✈ '\"\n,\\",
        "at": clock.datetime(1900, 1, 1, tzinfo=clock.UTC),
    },
]


def arrow(rows: list[dict[str, Any]] = ROWS, types: dict[str, str] | None = None) -> pa.Table:
    schema = ibis.schema(types or TYPES).to_pyarrow()
    return pa.Table.from_pylist(rows, schema=schema)


def target(directory: Path, types: dict[str, str]) -> Target:
    return Target(str(directory), tuple(Field(n, name, type) for n, (name, type) in enumerate(types.items(), 1)))


def table(name: str, /, **types: str) -> ibis.Table:
    return ibis.table(types, name=name)


class EngineContract:
    """Define the fixture `engine`. `WIDER` maps types that the engine lacks to those that it computes with instead."""

    WIDER: ClassVar[Mapping[str, str]] = {}

    def _shown(self, types: Mapping[str, str]) -> ibis.Schema:
        return ibis.schema({name: self.WIDER.get(type, type) for name, type in types.items()})

    def test_every_type_survives_a_file(self, engine: Engine, tmp_path: Path) -> None:
        place = target(tmp_path / "made on demand", TYPES)
        with engine.session({"t": arrow()}) as session:
            (file,) = session.write(table("t", **TYPES), place)
            session.add("back", Scan((file.path,), place.fields, file.rows))
            assert file.rows == 3
            assert session.fetch(table("back", **TYPES)).to_pylist() == ROWS
            assert session.schema("SELECT * FROM back") == self._shown(TYPES)

    def test_nan_is_not_null(self, engine: Engine, tmp_path: Path) -> None:
        types = {"x": "float64"}
        place = target(tmp_path, types)
        with engine.session({"t": arrow([{"x": math.nan}, {"x": None}], types)}) as session:
            (file,) = session.write("SELECT * FROM t", place)
            session.add("back", Scan((file.path,), place.fields, 2))
            nan, null = session.fetch("SELECT x FROM back").column("x").to_pylist()
        assert math.isnan(nan)
        assert null is None

    def test_files_have_field_ids_and_utc_microseconds(self, engine: Engine, tmp_path: Path) -> None:
        place = Target(str(tmp_path), (Field(7, "at", "timestamp('UTC', 6)"), Field(3, "n", "int64")))
        with engine.session({}) as session:
            (file,) = session.write("SELECT 1 AS n, TIMESTAMP '2013-01-01 10:00:00' AS at", place)
        schema = pq.read_schema(file.path)
        assert [schema.field(i).metadata[b"PARQUET:field_id"] for i in range(2)] == [b"7", b"3"]
        assert schema.field("at").type == pa.timestamp("us", "UTC")
        assert pq.read_table(file.path).column("at")[0].as_py() == clock.datetime(2013, 1, 1, 10, tzinfo=clock.UTC)

    def test_columns_are_cast_and_ordered_as_the_target_says(self, engine: Engine, tmp_path: Path) -> None:
        place = target(tmp_path, {"total": "int64", "name": "string"})
        rows = arrow([{"name": "a", "n": 2**40}, {"name": "a", "n": 1}], {"name": "string", "n": "int64"})
        with engine.session({"t": rows}) as session:
            summed = table("t", name="string", n="int64").group_by("name").agg(total=_.n.sum())
            (file,) = session.write(summed.mutate(extra=1), place)
        read = pq.read_table(file.path)
        assert read.column_names == ["total", "name"]
        assert read.schema.field("total").type == pa.int64()
        assert read.to_pylist() == [{"total": 2**40 + 1, "name": "a"}]

    def test_expressions_come_back_with_the_types_ibis_says(self, engine: Engine) -> None:
        with engine.session({"t": arrow([{"n": 1}, {"n": 2}], {"n": "int64"})}) as session:
            counted = table("t", n="int64").agg(total=_.n.sum(), mean=_.n.mean(), rows=_.count())
            assert session.fetch(counted).schema.types == [pa.int64(), pa.float64(), pa.int64()]
            assert session.schema(counted) == counted.schema()

    def test_reading_is_by_field_id(self, engine: Engine, tmp_path: Path) -> None:
        place = target(tmp_path, {"a": "int32", "b": "string"})
        with engine.session({}) as session:
            (file,) = session.write("SELECT 1 AS a, 'x' AS b", place)
            renamed = (Field(2, "a", "string"), Field(1, "c", "int64"), Field(9, "new", "float64"))
            session.add("t", Scan((file.path,), renamed, 1))
            assert session.fetch("SELECT * FROM t").to_pylist() == [{"a": "x", "c": 1, "new": None}]

    def test_a_scan_without_files_is_empty_and_typed(self, engine: Engine, tmp_path: Path) -> None:
        with engine.session({"t": Scan((), target(tmp_path, TYPES).fields, 0)}) as session:
            assert session.fetch("SELECT * FROM t").num_rows == 0
            assert session.schema("SELECT * FROM t") == self._shown(TYPES)

    def test_no_rows_make_no_file(self, engine: Engine, tmp_path: Path) -> None:
        place = target(tmp_path, {"n": "int64"})
        with engine.session({}) as session:
            assert session.write("SELECT 1 AS n WHERE false", place) == ()
        assert list(tmp_path.iterdir()) == []

    def test_a_failed_write_leaves_no_file(self, engine: Engine, tmp_path: Path) -> None:
        place = target(tmp_path, {"n": "int64"})
        with engine.session({}) as session:
            with pytest.raises(EngineError):
                session.write("SELECT CASE WHEN i = 299999 THEN 'x' ELSE '1' END AS n FROM range(300000) r(i)", place)
            with pytest.raises(EngineError, match="n"):
                session.write("SELECT 1 AS other", place)
        assert list(tmp_path.iterdir()) == []

    def test_names_with_dots(self, engine: Engine) -> None:
        rows = arrow([{"n": 1}], {"n": "int64"})
        with engine.session({"quarantine.legs": rows, "legs": rows, "odd \"name'": rows}) as session:
            for name in ("quarantine.legs", "odd \"name'"):
                assert session.fetch(table(name, n="int64")).to_pylist() == [{"n": 1}]
            assert session.fetch("SELECT * FROM quarantine.legs JOIN legs USING (n)").to_pylist() == [{"n": 1}]

    def test_files_by_partition(self, engine: Engine, tmp_path: Path) -> None:
        moments = [INSTANT, INSTANT - clock.timedelta(minutes=5), INSTANT + clock.timedelta(days=40), None]
        rows = [{"s": s, "at": at, "n": n} for n, (s, at) in enumerate(product(["a", "b/=", "", None], moments))]
        types = {"s": "string", "at": "timestamp('UTC', 6)", "n": "int64"}
        place = replace(target(tmp_path / "out", types), partition=(Partition("s"), Partition("at", "month")))
        with engine.session({"t": arrow(rows, types)}) as session:
            files = session.write(table("t", **types), place)
        assert sum(file.rows for file in files) == len(rows)
        assert {Path(file.path).parent for file in files} == {tmp_path / "out"}
        assert not any(path.is_dir() for path in (tmp_path / "out").iterdir())
        parts = [pq.read_table(file.path).to_pylist() for file in files]
        common = [{(row["s"], row["at"] and row["at"].timetuple()[:2]) for row in part} for part in parts]
        assert all(len(each) == 1 for each in common) and len({*chain(*common)}) == len(files) == 12
        assert sorted(row["n"] for part in parts for row in part) == list(range(len(rows)))

    def test_relations_may_be_replaced_but_not_confused(self, engine: Engine) -> None:
        with engine.session({"t": arrow([{"n": 1}], {"n": "int64"})}) as session:
            session.add("t", arrow([{"m": 2}], {"m": "int64"}))
            assert session.fetch("SELECT * FROM t").to_pylist() == [{"m": 2}]
            with pytest.raises(MainstemError):
                session.add("T", arrow([{"n": 1}], {"n": "int64"}))
            with pytest.raises(MainstemError):
                session.add("u", [1, 2, 3])

    def test_a_stream_of_batches_in_and_out(self, engine: Engine) -> None:
        rows = arrow([{"n": n} for n in range(10_000)], {"n": "int64"})
        with engine.session({"t": rows.to_reader(max_chunksize=1_000)}) as session:
            batches = list(session.batches("SELECT * FROM t", rows=4_096))
        assert sum(batch.num_rows for batch in batches) == 10_000
        assert max(batch.num_rows for batch in batches) <= 4_096
        assert [n for batch in batches for n in batch.column("n").to_pylist()] == list(range(10_000))

    def test_data_within_an_expression(self, engine: Engine) -> None:
        held = ibis.memtable(arrow([{"n": 1, "s": "a"}], {"n": "int64", "s": "string"}))
        with engine.session({"t": arrow([{"n": 1}, {"n": 2}], {"n": "int64"})}) as session:
            joined = table("t", n="int64").left_join(held, "n").select("n", "s").order_by("n")
            assert session.fetch(joined).to_pylist() == [{"n": 1, "s": "a"}, {"n": 2, "s": None}]

    def test_instants_are_utc(self, engine: Engine) -> None:
        rows = arrow([{"at": INSTANT}], {"at": "timestamp('UTC', 6)"})
        with engine.session({"t": rows}) as session:
            at = table("t", at="timestamp('UTC', 6)")
            shown = at.select(hour=_.at.hour(), before=_.at - ibis.interval(days=30))
            assert session.fetch(shown).to_pylist() == [{"hour": 23, "before": INSTANT - clock.timedelta(days=30)}]

    def test_a_refused_query_says_why(self, engine: Engine) -> None:
        with engine.session({"t": arrow([{"number": 1}], {"number": "int64"})}) as session:
            with pytest.raises(EngineError, match="numbr"):
                session.fetch("SELECT numbr FROM t")
            with pytest.raises(EngineError, match="nowhere"):
                session.schema("SELECT * FROM nowhere")
            with pytest.raises(EngineError):
                session.fetch("SELEC 1")
            assert session.fetch("SELECT 1 AS one;").to_pylist() == [{"one": 1}]

    def test_csv_is_read_as_declared(self, engine: Engine, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('n,s,at,x\n1,"a,""b",2013-01-01T10:00:00Z,\n2,,,1.5\n')
        (tmp_path / "b.csv").write_text("s,unknown,x,at,n\nü,?,nan,2013-06-01 10:00:00,3\n")
        columns = {"n": "int64", "s": "string", "x": "float64", "at": "timestamp('UTC', 6)"}
        raw = RawFiles((str(tmp_path / "a.csv"), str(tmp_path / "b.csv")), "csv", columns)
        with engine.session({"raw": raw}) as session:
            assert session.schema("SELECT * FROM raw") == ibis.schema(columns)
            rows = session.fetch("SELECT * FROM raw").to_pylist()
        ten = clock.datetime(2013, 1, 1, 10, tzinfo=clock.UTC)
        assert rows[0] == {"n": 1, "s": 'a,"b', "x": None, "at": ten}
        assert rows[1] == {"n": 2, "s": None, "x": 1.5, "at": None}
        assert (rows[2]["n"], rows[2]["s"], rows[2]["at"]) == (3, "ü", ten.replace(month=6))
        assert math.isnan(rows[2]["x"])

    @pytest.mark.parametrize(
        ("text", "where", "said"),
        [
            ("n,s\n1,a\n2", "line 3", "1 columns instead of 2"),
            ("n,s\n1,a\n2,b,c\n", "line 3", "3 columns instead of 2"),
            ('n,s\n1,a\n2,"b', "line 3", "not closed"),
            ("n,s\n1,a\nx,b\n", "line 3", "'x' in column 'n'"),
            ("n\n1\n", "line 1", "lacks the column 's'"),
            ("", "line 1", "lacks the column 'n'"),
            (b"n,s\n1,\xe9\n", "line 2", "not UTF-8"),
        ],
    )
    def test_a_bad_csv_names_file_and_line(
        self, engine: Engine, tmp_path: Path, text: str | bytes, where: str, said: str
    ) -> None:
        path = tmp_path / "bad.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        raw = RawFiles((str(path),), "csv", {"n": "int64", "s": "string"})
        with pytest.raises(SourceError) as caught, engine.session({"raw": raw}) as session:
            session.write("SELECT * FROM raw", target(tmp_path / "out", {"n": "int64", "s": "string"}))
        assert said in caught.value.what
        assert caught.value.where == f"{path}, {where}"
        assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())

    def test_parquet_and_json_as_declared_or_as_found(self, engine: Engine, tmp_path: Path) -> None:
        pq.write_table(pa.table({"n": pa.array([1], pa.int32()), "s": ["a"]}), tmp_path / "a.parquet")
        (tmp_path / "a.json").write_text('{"n": 1, "s": "a"}\n{"n": null}\n')
        columns = {"s": "string", "n": "int64"}
        relations = {
            "p": RawFiles((str(tmp_path / "a.parquet"),), "parquet", columns),
            "j": RawFiles((str(tmp_path / "a.json"),), "json", columns),
            "found": RawFiles((str(tmp_path / "a.json"),), "json"),
        }
        with engine.session(relations) as session:
            assert session.fetch("SELECT * FROM p").to_pylist() == [{"s": "a", "n": 1}]
            assert session.fetch("SELECT * FROM j").to_pylist() == [{"s": "a", "n": 1}, {"s": None, "n": None}]
            assert session.schema("SELECT * FROM p") == ibis.schema(columns)
            assert session.schema("SELECT * FROM found") == ibis.schema({"n": "int64", "s": "string"})
