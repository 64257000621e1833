"""Spark and the embedded engine read and write one lake on a real S3 server in turn; its catalog is in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

import mainstem as ms
from postgresql import postgresql as postgresql_of_tests
from s3 import Busy, s3_server
from stored_project import SECRET, Machine, databases, machine

postgresql = postgresql_of_tests

TABLES = ("sales", "priced", "by_shop", "shops", "quarantine.priced")
FOREIGN = {"_run", "_at", "_quarantined_at"}


@pytest.fixture(scope="module")
def server():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


def content(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> dict[str, pa.Table]:
    """All rows of the tables, each in an order of its own, as this process's embedded engine reads them."""
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    found = {}
    with ms.load(machine.root) as project:
        for name in TABLES:
            rows = project.table(name).to_pyarrow()
            rows = rows.drop_columns([column for column in rows.column_names if column in FOREIGN])
            found[name] = rows.sort_by([("shop" if name == "shops" else "sale_id", "ascending")])
    return found


def approved(one: pa.Table, other: pa.Table) -> None:
    assert one.schema == other.schema and one.num_rows == other.num_rows > 0
    for name in one.column_names:
        if pa.types.is_floating(one.schema.field(name).type):
            assert one[name].to_pylist() == pytest.approx(other[name].to_pylist(), rel=1e-9)
        else:
            assert one[name].equals(other[name]), name


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_both_engines_read_and_write_one_lake_in_turn(server, postgresql, tmp_path: Path, monkeypatch):
    alone = machine(tmp_path / "alone", server.storage, databases(postgresql), "alone")
    served = databases(postgresql)
    seen = Busy(server)
    by_spark = machine(tmp_path / "spark", seen.storage, served, "turns", "spark")
    embedded = machine(tmp_path / "embedded", server.storage, served, "turns")
    for number, one in enumerate((by_spark, embedded, by_spark)):
        for each in (alone, by_spark, embedded):
            each.add(f"part-{number}", range(number * 400, number * 400 + 400))
        alone.run()
        one.run()
        expected = content(alone, monkeypatch)
        for other in (by_spark, embedded):
            for name, rows in content(other, monkeypatch).items():
                approved(rows, expected[name])
    assert [agent for agent in seen.agents if "Hadoop" in agent and "aws-sdk-java" in agent]
    seen.close()
    at_store = [info for info in server.system.get_file_info(_all("lakes/turns")) if info.is_file]
    names = [info.path for info in at_store]
    assert not [name for name in names if "_writing-" in name or "/tmp/" in name or "__magic" in name]
    written = [name for name in names if "/by_shop__" in name and name.endswith(".parquet")]
    with server.system.open_input_file(written[0]) as stream:
        file = pq.ParquetFile(stream)
        fields = {each.name: each for each in file.schema_arrow}
        assert {int(each.metadata[b"PARQUET:field_id"]) for each in fields.values()} == set(range(1, len(fields) + 1))
        assert fields["sold_at"].type == pa.timestamp("us", "UTC")
    assert _is_absent(SECRET, served[0]) and _is_absent(SECRET, served[1])


def _all(folder: str):
    from pyarrow import fs

    return fs.FileSelector(folder, recursive=True)


def _is_absent(secret: str, url: str) -> bool:
    """Return whether no row of a database has the secret."""
    engine = create_engine(url.replace("://", "+psycopg://"))
    with engine.connect() as connection:
        tables = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        assert tables
        found = [name for name in tables if secret in str(connection.execute(text(f'SELECT * FROM "{name}"')).all())]
    engine.dispose()
    return not found
