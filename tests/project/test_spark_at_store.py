"""Spark and the embedded engine read and write one lake on a real S3 server in turn; its catalog is in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

import mainstem as ms
from mainstem.models.versions import registry
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


LEARNED = """
import ibis
import mainstem as ms
from ibis import _

flights = ms.files("flights.parquet", key="flight_id", time="scheduled_at",
    known={"*": _.scheduled_at - ibis.interval(days=30), "late": _.scheduled_at + ibis.interval(hours=9)})
late = ms.model(flights, prediction_time=_.scheduled_at, target=_.late, features=["distance", "carrier"],
    candidates=["xgboost@spark"])
arrivals = ms.endpoint(late)
scored = ms.score(flights, late)
"""
FLIGHTS = 6_000


def flights() -> pa.Table:
    chance = np.random.default_rng(3)
    hours = np.arange(FLIGHTS) * 3_600_000_000
    distance, carrier = chance.uniform(100, 3_000, FLIGHTS), chance.choice(["AA", "B6", "DL"], FLIGHTS)
    return pa.table(
        {
            "flight_id": [f"f{n}" for n in range(FLIGHTS)],
            "distance": distance,
            "carrier": carrier,
            "scheduled_at": pa.array(1_370_000_000_000_000 + hours, pa.timestamp("us", "UTC")),
            "late": distance / 300 + (carrier == "B6") * 6 + chance.normal(0, 3, FLIGHTS) > 9,
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_trees_of_spark_learn_from_a_lake_at_a_store_what_they_learn_from_a_local_one(
    server, postgresql, tmp_path: Path, monkeypatch
):
    """This process holds a quarter of the rows, and Spark's workers read all of them at the store."""
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    seen = Busy(server)
    at_store = machine(tmp_path / "store", seen.storage, databases(postgresql), "learned", "spark", module=LEARNED)
    local = machine(tmp_path / "local", {}, ("", ""), "", "spark", module=LEARNED)
    local.root.joinpath("mainstem.toml").write_text(
        '[project]\nname = "sales"\nmodules = ["sales"]\n[profile.default]\nspark = {master = "local[2]"}\n'
    )
    found = {}
    for each in (at_store, local):
        pq.write_table(flights(), each.root / "flights.parquet")
        each.run(MAINSTEM_TRAINING_ROWS="1500")
        for command in (("promote", "late"), ("run",)):
            code, said = each.call(*command, MAINSTEM_TRAINING_ROWS="1500")
            assert code == 0, said
        with ms.load(each.root) as project:
            scored = project.table("scored").to_pyarrow().sort_by("flight_id")
            found[each.root.name] = scored["score"].to_numpy()
            (version,) = registry.versions(project.adapters.state, "late")
            assert version.rows["learned"] == FLIGHTS and 1_300 < version.rows["examples"] < 1_700
    assert [agent for agent in seen.agents if "Hadoop" in agent and "aws-sdk-java" in agent]
    assert found["store"] == pytest.approx(found["local"], abs=0.02)
    assert found["store"].std() > 0.2
    code, said = at_store.call("reproduce", "late-1", MAINSTEM_TRAINING_ROWS="1500")
    assert code == 0, said
    seen.close()


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
