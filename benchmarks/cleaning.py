"""Ten cleaning verbs over two million rows, beside the same by hand in DuckDB's SQL.

    python benchmarks/cleaning.py [--rows 2000000] [--repeat 5]

Both sides read the same Parquet file and write the same compression: the valid rows, and the invalid ones with their
original values and the reason. By hand, the expressions are those that a person writes who knows the data: they accept
more than the verbs do (`1,2.3` is a number to them), and give the same result on this data, which is compared.
Mainstem also counts what each verb found, shows the most frequent values, checks the key and commits both tables to
the lake.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import ibis

import mainstem as ms
from _turns import Taken, Turn, lines, take_turns, timed
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.graph.dag import Dag
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes import clean, tables
from mainstem.nodes.definition import Graph
from mainstem.nodes.records import Release
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step
from mainstem.ports import ReplaceAll
from mainstem.project.resolve import resolve
from mainstem.tables.build import Build

SCHEMA = {
    "id": "int64",
    "shop": "string",
    "product": "string",
    "code": "string",
    "day": "string",
    "amount": "string",
    "quantity": "int64",
    "weight": "float64",
    "temperature": "float64",
    "note": "string",
}
VERBS = [
    clean.trim("shop", inner=True),
    clean.case("product", "upper"),
    clean.map("shop", {"Berln": "Berlin", "Hambrg": "Hamburg"}),
    clean.replace("code", "[^A-Z0-9]", ""),
    clean.parse_date("day", "%d.%m.%Y", invalid="quarantine"),
    clean.parse_number("amount", "de", invalid="quarantine"),
    clean.within("quantity", 0, 1_000, invalid="quarantine"),
    clean.clip("weight", 0.0, 90.0),
    clean.convert("temperature", "C", "F", invalid="null"),
    clean.impute("note", "none"),
]
ROWS = """
    SELECT
        i AS id,
        CASE i % 5 WHEN 0 THEN ' Berln ' WHEN 1 THEN 'Hambrg' WHEN 2 THEN 'New  York' ELSE 'Paris' END AS shop,
        'product ' || (i % 1000) AS product,
        'ab-' || chr(65 + (i % 26)::INT) || '/' || (i % 9973) AS code,
        CASE WHEN i % 997 = 0 THEN '31.02.2024' ELSE strftime(DATE '2020-01-01' + (i % 1500)::INT, '%d.%m.%Y') END AS
        day, CASE WHEN i % 991 = 0 THEN 'n/a' ELSE (i % 7 + 1) || '.' || lpad((i % 1000)::VARCHAR, 3, '0') || ',' ||
        lpad((i % 100)::VARCHAR, 2, '0') || ' €' END AS amount, CASE WHEN i % 983 = 0 THEN -1 ELSE i % 500 END AS
        quantity, (i % 1000) / 10.0 AS weight,
        32 + (i % 700) / 10.0 AS temperature,
        CASE WHEN i % 3 = 0 THEN NULL ELSE 'note ' || (i % 50) END AS note
    FROM range({rows}) t(i)
"""
BY_HAND = """
    SELECT
        id,
        CASE trim(regexp_replace(shop, '\\s+', ' ', 'g'))
            WHEN 'Berln' THEN 'Berlin' WHEN 'Hambrg' THEN 'Hamburg'
            ELSE trim(regexp_replace(shop, '\\s+', ' ', 'g')) END AS shop,
        upper(product) AS product,
        regexp_replace(code, '[^A-Z0-9]', '', 'g') AS code,
        CAST(try_strptime(day, '%d.%m.%Y') AS DATE) AS day,
        try_cast(replace(replace(replace(amount, ' €', ''), '.', ''), ',', '.') AS DOUBLE) AS amount,
        CASE WHEN quantity BETWEEN 0 AND 1000 THEN quantity END AS quantity,
        least(greatest(weight, 0), 90) AS weight,
        (temperature - 32) * 5 / 9 AS temperature,
        coalesce(note, 'none') AS note,
        day AS raw_day, amount AS raw_amount, quantity AS raw_quantity,
        COLUMNS('shop|product|code|weight|temperature|note') AS 'raw_\\0'
    FROM '{file}'
"""
INVALID = {
    "parse_date(day)": "day IS NULL AND raw_day IS NOT NULL",
    "parse_number(amount)": "amount IS NULL AND raw_amount IS NOT NULL",
    "within(quantity)": "quantity IS NULL AND raw_quantity IS NOT NULL",
}


def by_hand(file: Path, root: Path) -> None:
    """Write `valid.parquet` and `invalid.parquet`."""
    cleaned = BY_HAND.format(file=file)
    bad = " OR ".join(f"({condition})" for condition in INVALID.values())
    told = ", ".join(f"CASE WHEN {condition} THEN '{name}' END" for name, condition in INVALID.items())
    valid = ", ".join(SCHEMA)
    raw = ", ".join(["id", *(f"raw_{name} AS {name}" for name in SCHEMA if name != "id")])
    with duckdb.connect() as db:
        for name, query in {
            "valid": f"SELECT {valid} FROM ({cleaned}) WHERE NOT ({bad})",
            "invalid": f"SELECT {raw}, concat_ws('; ', {told}) AS _check FROM ({cleaned}) WHERE {bad}",
        }.items():
            db.execute(f"COPY ({query}) TO '{root / name}.parquet' (FORMAT parquet, COMPRESSION zstd)")


class House:
    """A lake with the raw rows, and the table that cleans them."""

    def __init__(self, root: Path, file: Path) -> None:
        self.engine, self.lake = DuckdbEngine(directories=[root]), IcebergLake(root / "lake")
        target = self.lake.target("raw", SCHEMA)
        with duckdb.connect() as db:
            raw = db.execute(f"SELECT * FROM '{file}'").to_arrow_table()
        with self.engine.session({"rows": raw}) as session:
            files = session.write(ibis.table(SCHEMA, name="rows"), target)
        self.stored = self.lake.commit("raw", target, files, base=None, run="seed", change=ReplaceAll())
        self.file = Path(files[0].path)
        source = ms.files("raw.csv", key="id", schema=SCHEMA, known="always")
        node = tables.table(lambda raw: raw, name="cleaned", clean=VERBS)
        resolved = resolve({"raw": source, "cleaned": node}, {})
        self.graph = Graph(resolved.definitions, Dag({"raw": (), "cleaned": ("raw",)}))

    def build(self) -> Any:
        """Build the table once more."""
        release = Release("", "main", "", tables={"raw": self.stored})
        state: Any = None
        context = Context("run-1", "main", self.graph, release, self.engine, self.lake, state)
        return Build()(Step("build", "cleaned", "benchmark"), context).tables


def check_equal(house: House, made: Any, root: Path) -> None:
    """End without a number if the results differ."""
    files = {name: house.lake.scan(made[name]).files for name in ("cleaned", "quarantine.cleaned")}
    columns = ", ".join(name if name != "temperature" else "round(temperature, 6)" for name in SCHEMA)
    with duckdb.connect() as db:
        for ours, theirs, shown in (
            ("cleaned", "valid", columns),
            ("quarantine.cleaned", "invalid", ", ".join([*SCHEMA, "_check"])),
        ):
            one = f"SELECT {shown} FROM read_parquet({list(files[ours])})"
            other = f"SELECT {shown} FROM '{root / theirs}.parquet'"
            rows = f"SELECT count(*) FROM ({other})"
            differ = f"SELECT count(*) FROM (({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one}))"
            assert db.execute(rows).fetchone() != (0,) and db.execute(differ).fetchone() == (0,), ours


def measure(root: Path, rows: int, repeat: int) -> Taken:
    """Seconds of each side."""
    file = root / "raw.parquet"
    with duckdb.connect() as db:
        db.execute(f"COPY ({ROWS.format(rows=rows)}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")
    house = House(root, file)
    by_hand(house.file, root)
    check_equal(house, house.build(), root)
    sides: dict[str, Turn] = {
        "DuckDB by hand": timed(lambda: by_hand(house.file, root)),
        "ten verbs": timed(house.build),
    }
    taken = take_turns(sides, repeat)
    house.lake.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        taken = measure(Path(scratch), given.rows, given.repeat)
    print(f"{given.rows:,} rows, ten cleaning verbs, three with quarantine; median of {given.repeat}")
    print(*lines(taken), sep="\n")


if __name__ == "__main__":
    main()
