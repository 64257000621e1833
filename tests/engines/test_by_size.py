"""Which engine a session is on, and that both publish equal tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.by_size import BySize
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
from mainstem.engines.spark.starting import require_java
from mainstem.errors import EngineError, SettingsError
from mainstem.nodes.base import Origin
from mainstem.nodes.tables import sql
from mainstem.ports import Field, Scan, Target
from mainstem.project.factories import engine as engine_of
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from spark_session import WARNINGS

pytestmark = WARNINGS
SALES = {"id": "int64", "shop": "string", "at": "timestamp('UTC', 6)", "price": "float64"}


def settings(root: Path, **profile: Any) -> Settings:
    return Settings(root, ProjectSettings("test", ()), Profile(**profile), "default", Serve())


def nodes(root: Path) -> dict[str, Any]:
    sales = ms.files(str(root / "sales.csv"), key="id", time="at", schema=SALES)
    shops = ms.files(str(root / "shops.csv"), key="shop", schema={"shop": "string", "country": "string"})

    @ms.table(key="id", clean=[ms.clean.trim("shop"), ms.clean.impute("price", using="median")])
    def tidy(sales: ibis.Table) -> ibis.Table:
        return sales

    @ms.table(key="id")
    def joined(tidy: ibis.Table, shops: ibis.Table) -> ibis.Table:
        return ms.join(tidy, shops, on="shop", expect="many_to_one", coverage=0.5)

    @ms.table(key=["country", "day"], checks=[ms.expression(_.total >= 0, severity="quarantine")])
    def daily(joined: ibis.Table) -> ibis.Table:
        by = joined.group_by(_.country, day=_.at.date())
        return by.agg(total=_.price.sum(), n=_.count(), best=_.id.argmax(_.price))

    query = "select country, sum(n) // 2 as half, round(avg(total), 3) as mean from daily group by country"
    return {
        "sales": sales,
        "shops": shops,
        "tidy": tidy,
        "joined": joined,
        "daily": daily,
        "by_country": sql("by_country", query, origin=Origin("t.sql", 1)),
    }


def test_the_same_project_publishes_equal_tables_on_both_engines(tmp_path: Path) -> None:
    rows = [
        f"{n}, s{n % 7} ,2024-01-{1 + n % 28:02d}T{n % 24:02d}:00:00Z,{n * 37 % 101 / 4 if n % 9 else ''}"
        for n in range(500)
    ]
    (tmp_path / "sales.csv").write_text("\n".join(["id,shop,at,price", *rows]))
    (tmp_path / "shops.csv").write_text(
        "shop,country\n" + "".join(f"s{n},{'PT' if n % 2 else 'DE'}\n" for n in range(7))
    )
    found = {}
    for engine in ("duckdb", "spark"):
        own = settings(tmp_path / engine, engine=engine, spark={"master": "local[2]"})
        own.root.mkdir()
        with Project(own, nodes(tmp_path)) as project:
            record = project.run()
            assert {step.status for step in record.steps} == {"done"}
            found[engine] = {
                name: project.query(f"select * from {name} order by all").to_pylist()
                for name in ("tidy", "joined", "daily", "by_country")
            }
    assert found["spark"]["by_country"] and found["spark"] == found["duckdb"]


def test_small_tables_and_data_of_this_process_stay_on_the_embedded_engine(tmp_path: Path) -> None:
    engine = BySize(DuckdbEngine(), SparkEngine("local[2]"), least=1_000)
    target = Target(str(tmp_path), (Field(1, "n", "int64"),))
    with DuckdbEngine().session({}) as session:
        (small,) = session.write("SELECT 1 AS n", target)
        (large,) = session.write("SELECT hash(i) // 2 AS n FROM range(1000) r(i)", target)
    assert not engine.is_large({"t": Scan((small.path,), target.fields, 1)})
    assert not engine.is_large({"t": ibis.memtable({"n": [1]}).to_pyarrow()})
    assert engine.is_large({"t": Scan((small.path, large.path), target.fields, 1_001)})


def test_an_unknown_setting_of_spark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mastr") as caught:
        engine_of(settings(tmp_path, engine="spark", spark={"mastr": "local[2]"}))
    assert "master" in str(caught.value.hint)


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EngineError, match="needs Java") as caught:
        require_java()
    assert "openjdk" in str(caught.value.hint)


def test_a_second_master_in_one_process_is_refused() -> None:
    with SparkEngine("local[2]").session({}):
        pass
    with pytest.raises(EngineError, match="another master"), SparkEngine("local[1]").session({}):
        pass
