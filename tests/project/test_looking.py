"""Sources are looked at without collecting them, and places become declarations that load."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mainstem as ms
from mainstem.cli.app import app
from mainstem.errors import SourceError, UnknownName

PROJECT = """
import mainstem as ms

orders = ms.files("data/orders/*.csv", key="order_id", time="ordered_at")
gone = ms.files("data/gone/*.csv", schema={"a": "string"})
live = ms.stream("live", schema={"a": "string"}, time="at")
"""
ORDERS = "order_id,note,ordered_at,updated_at,amount\n" + "".join(
    f"o{n},same,2025-01-0{n}T09:00:00Z,2025-02-0{n}T09:00:00Z,{n}.5\n" for n in range(1, 8)
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(PROJECT)
    (tmp_path / "data/orders").mkdir(parents=True)
    (tmp_path / "data/orders/1.csv").write_text(ORDERS)
    with sqlite3.connect(tmp_path / "shop.db") as base:
        base.execute("CREATE TABLE payments (payment_id INTEGER PRIMARY KEY, paid INTEGER)")
        base.executemany("INSERT INTO payments VALUES (?, 5)", [(n,) for n in range(3)])
    base.close()
    return tmp_path


@pytest.fixture
def api() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rows = [{"id": n, "created_at": f"2025-01-0{n}T00:00:00Z"} for n in (1, 2)]
            body = json.dumps({"total": 2, "results": rows}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/tickets"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_look_has_schema_rows_and_freshness_and_collects_nothing(root: Path) -> None:
    (root / "schemas.lock").write_text(
        '[orders]\norder_id = "string"\nnote = "string"\nordered_at = "timestamp(\'UTC\', 6)"\n'
        'amount = "int64"\nold = "string"\n'
    )
    before = (root / "schemas.lock").read_text()
    with ms.load(root) as project:
        found = project.look("orders", 2)
        assert project.release.id == ""
    columns = {column.name: (column.type, column.locked) for column in found.columns}
    assert columns["amount"] == ("float64", "int64")
    assert columns["updated_at"] == ("timestamp('UTC', 6)", None)
    assert columns["old"] == (None, "string")
    assert [row["order_id"] for row in found.rows] == ["o1", "o2"] and found.read == 7 and found.whole
    assert str(found.latest) == "2025-01-07 09:00:00+00:00" and found.age is not None
    assert (root / "schemas.lock").read_text() == before


def test_what_cannot_be_looked_at_is_told(root: Path) -> None:
    with ms.load(root) as project:
        with pytest.raises(SourceError):
            project.look("gone")
        with pytest.raises(UnknownName, match="unknown source 'ordres'") as error:
            project.look("ordres")
        assert "orders" in str(error.value.hint)
        with pytest.raises(UnknownName):
            project.look("live")


def test_a_declaration_of_each_place_loads_and_runs(root: Path, api: str) -> None:
    places = {
        "orders": ("data/orders/*.csv", None),
        "payments": ("sqlite:///shop.db", "payments"),
        "tickets": (api, None),
    }
    with ms.load(root) as project:
        codes = {name: project.infer(place, table) for name, (place, table) in places.items()}
    assert 'key="order_id",\n    time="ordered_at",' in codes["orders"] and "updated_at" in codes["orders"]
    assert 'key="payment_id",\n    known="always",' in codes["payments"]
    assert 'records="results",\n    key="id",\n    time="created_at",' in codes["tickets"]
    (root / "shop.py").write_text("".join(codes.values()))
    with ms.load(root) as project:
        assert project.run().status == "published"
        assert {name: project.table(name).to_pyarrow().num_rows for name in places} == {
            "orders": 7,
            "payments": 3,
            "tickets": 2,
        }


def test_the_commands_print_both(root: Path) -> None:
    looked = CliRunner().invoke(app, ["source", "test", "orders", "-C", str(root)])
    assert looked.exit_code == 0, looked.output
    assert "orders: reachable, files" in looked.output and "latest time of 7 rows: 2025-01-07" in looked.output
    told = CliRunner().invoke(app, ["source", "test", "orders", "-C", str(root), "--json"])
    assert json.loads(told.stdout)["read"] == 7
    inferred = CliRunner().invoke(app, ["source", "infer", "data/orders/*.csv", "-C", str(root)])
    compile(inferred.stdout, "printed", "exec")
    assert 'ms.files(\n    "data/orders/*.csv",' in inferred.stdout
    missing = CliRunner().invoke(app, ["source", "test", "gone", "-C", str(root)])
    assert missing.exit_code == 1
