"""Files to a published table beside `COPY`; JSON records of an API beside dlt; many small files, and one more.

    python benchmarks/sources.py [--rows 2000000] [--records 1000000] [--files 5000] [--repeat 3]

`COPY` is DuckDB alone, which reads the file and writes Parquet with the same columns and compression. The API runs on
this machine, in a process of its own, and answers pages of 1,000 records. dlt loads the same pages into DuckDB with its
REST client. Each side begins with nothing stored. Needs the extra `api`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import duckdb

import mainstem as ms
from _turns import lines, take_turns, timed
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

PAGE = 1_000
TYPES = {"id": "int64", "city": "string", "amount": "float64", "paid": "boolean", "at": "timestamp('UTC', 6)"}


# ── the API ───────────────────────────────────────────────────────────────────────────────────────────


def serve(records: int) -> None:
    """Answer pages of records until the process ends. The port is printed."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            page = int(dict(parse_qsl(url.query)).get("page", 1))
            begin = (page - 1) * PAGE
            rows = [record(n) for n in range(begin, min(begin + PAGE, records))]
            body = json.dumps(rows).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def record(n: int) -> dict[str, Any]:
    at = f"2024-{1 + n % 12:02}-{1 + n % 28:02}T{n % 24:02}:00:00Z"
    return {"id": n, "city": f"city {n % 500}", "amount": n * 7 % 1009 / 7, "paid": n % 2 == 0, "at": at}


@contextmanager
def api(records: int) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", str(records)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


def by_dlt(root: Path, url: str, records: int) -> None:
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator

    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    client = RESTClient(url, paginator=PageNumberPaginator(base_page=1, total_path=None, stop_after_empty_page=True))

    @dlt.resource(name="records", primary_key="id", write_disposition="append")
    def records_of() -> Iterator[Any]:
        yield from client.paginate("/records")

    into = dlt.destinations.duckdb(str(root / "loaded.duckdb"))
    dlt.pipeline("loaded", pipelines_dir=str(root / "pipelines"), destination=into, dataset_name="d").run(records_of())
    with duckdb.connect(str(root / "loaded.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM d.records").fetchone() == (records,)


# ── projects ──────────────────────────────────────────────────────────────────────────────────────────


def run(root: Path, node: Any, rows: int) -> None:
    """Run a project with one source, and check how many rows it published."""
    settings = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
    with ms.Project(settings, {"sales": node}) as project:
        (step,) = project.run().steps
        assert step.published == rows, step


def anew(root: Path, node: Any, rows: int) -> None:
    shutil.rmtree(root / ".mainstem", ignore_errors=True)
    (root / "schemas.lock").unlink(missing_ok=True)
    run(root, node, rows)


# ── what is compared ──────────────────────────────────────────────────────────────────────────────────


def beside_copy(root: Path, rows: int, repeat: int) -> None:
    query = f"""SELECT n AS id, 'city ' || n % 500 AS city, (n * 7 % 1009) / 7.0 AS amount, n % 2 = 0 AS paid,
        timestamptz '2024-01-01 00:00:00Z' + n * interval 2 second AS at FROM range({rows}) t(n)"""
    for suffix, form in (("csv", "FORMAT csv, HEADER"), ("parquet", "FORMAT parquet, COMPRESSION zstd")):
        duckdb.sql(f"SET TimeZone = 'UTC'; COPY ({query}) TO '{root}/sales.{suffix}' ({form})")
        columns = "{'id': 'BIGINT', 'city': 'VARCHAR', 'amount': 'DOUBLE', 'paid': 'BOOLEAN', 'at': 'TIMESTAMPTZ'}"
        read = f"read_csv('{root}/sales.csv', columns={columns})" if suffix == "csv" else f"'{root}/sales.parquet'"
        copied = f"COPY (SELECT * FROM {read}) TO '{root}/copied.parquet' (FORMAT parquet, COMPRESSION zstd)"
        node = ms.files(f"sales.{suffix}", key="id", schema=TYPES)
        sides = {
            "COPY, DuckDB alone": timed(lambda sql=copied: duckdb.sql(sql)),
            "mainstem, published": timed(lambda node=node: anew(root, node, rows)),
        }
        print(f"{rows:,} rows × 5 columns of one {suffix} file; median of {repeat}")
        print("\n".join(lines(take_turns(sides, repeat))), flush=True)


def beside_dlt(root: Path, records: int) -> None:
    with api(records) as url:
        paging = ms.paging.page("page")
        node = ms.api(
            f"{url}/records", key="id", paging=paging, schema=TYPES, limits=ms.limits(pages=10**6, seconds=3_600)
        )
        sides = {
            "dlt into DuckDB": timed(lambda: by_dlt(root / "dlt", url, records)),
            "mainstem, published": timed(lambda: anew(root, node, records)),
        }
        taken = take_turns(sides, 1, warm=0)
    print(f"{records:,} JSON records of an API in pages of {PAGE:,}")
    print("\n".join(lines(taken)))
    print(f"  {records / taken['mainstem, published'][0]:,.0f} records/s", flush=True)


def many_files(root: Path, files: int) -> None:
    place = root / "small"
    place.mkdir()

    def write(number: int) -> None:
        with (place / f"{number:06}.csv").open("w", newline="") as file:
            rows = csv.DictWriter(file, list(TYPES))
            rows.writeheader()
            rows.writerows(record(number * 200 + n) for n in range(200))

    for number in range(files):
        write(number)
    node = ms.files("small/*.csv", key="id", schema=TYPES)
    print(f"{files:,} CSV files of 200 rows")
    for name, rows in (("all of them", files * 200), ("one more", 200)):
        began = time.perf_counter()
        if rows == 200:
            write(files)
            began = time.perf_counter()
            run(root, node, rows)
        else:
            anew(root, node, rows)
        print(f"  {name:11}  {time.perf_counter() - began:6.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=5_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
    root = Path(tempfile.mkdtemp(prefix="mainstem-bench-", dir="/tmp"))
    try:
        beside_copy(root, given.rows, given.repeat)
        beside_dlt(root, given.records)
        many_files(root, given.files)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
