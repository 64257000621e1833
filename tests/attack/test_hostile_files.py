"""Files that are truncated, of another type, empty, too wide or broken: a clear error, or rows that are set aside."""

from __future__ import annotations

import gzip
import io
import json
import time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from command_line import FLIGHTS, HEADER, Project, flight

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

SECONDS = 60.0


def _parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(1_000)), "text": ["a"] * 1_000}), out)
    return out.getvalue()


PARQUET = _parquet()
WIDE = ",".join(f"c{n}" for n in range(10_000)).encode() + b"\n" + b"1," * 9_999 + b"1\n"
FILES: dict[str, tuple[str, bytes]] = {
    "truncated Parquet": ("x.parquet", PARQUET[: len(PARQUET) // 2]),
    "Parquet without its end": ("x.parquet", PARQUET[:-4]),
    "Parquet whose footer has another length": ("x.parquet", PARQUET[:-8] + b"\xff\xff\xff\x7f" + PARQUET[-4:]),
    "text as Parquet": ("x.parquet", b"n,text\n1,a\n"),
    "empty Parquet": ("x.parquet", b""),
    "empty CSV": ("x.csv", b""),
    "CSV of line breaks": ("x.csv", b"\n" * 1_000),
    "CSV with a header alone": ("x.csv", b"n,text\n"),
    "CSV with a column twice": ("x.csv", b"n,n\n1,2\n"),
    "CSV with columns alike but for case": ("x.csv", b"n,N\n1,2\n"),
    "CSV with nameless columns": ("x.csv", b",,\n1,2,3\n"),
    "CSV with NUL": ("x.csv", b"n,text\n1,a\x00b\n\x00,c\n"),
    "CSV with an open quote": ("x.csv", b'n,text\n1,"a\n2,b\n3,c\n'),
    "CSV with a quote within": ("x.csv", b'n,text\n1,a"b"c"\n2,"a""b"c\n'),
    "CSV of unlike lines": ("x.csv", b"n,text\n1\n1,2,3,4\n1,a\n"),
    "CSV in UTF-16": ("x.csv", "n,text\n1,é\n".encode("utf-16")),
    "CSV in Latin-1": ("x.csv", "n,text\n1,é\n".encode("latin-1")),
    "a picture as CSV": ("x.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40),
    "Parquet as CSV": ("x.csv", PARQUET),
    "CSV with a very long field": ("x.csv", b"n,text\n1," + b"a" * 5_000_000 + b"\n"),
    "gzip as CSV": ("x.csv", gzip.compress(b"n,text\n1,a\n")),
    "truncated JSON": ("x.json", b'[{"n": 1}, {"n": '),
    "deep JSON": ("x.json", b"[" * 100_000),
    "a number as JSON": ("x.json", b"5"),
    "empty JSON": ("x.json", b""),
    "HTML as JSON": ("x.json", b"<html>"),
}
LATER = [
    b"",
    HEADER.encode(),
    HEADER.encode() + b"\nF900,JFK\n",
    HEADER.encode() + b'\n"F900,JFK,500,2013-12-01T00:00:00Z,2013-12-01T02:00:00Z,5\n',
    HEADER.encode() + b"\nF900,J\x00K,500,2013-12-01T00:00:00Z,2013-12-01T02:00:00Z,5\n",
    HEADER.encode() + b"\nF900,JFK,many,2013-12-01T00:00:00Z,2013-12-01T02:00:00Z,5\n",
    HEADER.encode() + b"\nF900,JFK,500,0000-00-00T00:00:00Z,yesterday,5\n",
    HEADER.encode() + b"\nF900,JFK,500,9999-12-31T23:59:59Z,0001-01-01T00:00:00Z,5\n",
    HEADER.encode() + b"\nF900,\xff\xfe,500,2013-12-01T00:00:00Z,2013-12-01T02:00:00Z,5\n",
    HEADER.encode() + b"\nF900,JFK,1e400,2013-12-01T00:00:00Z,2013-12-01T02:00:00Z,NaN\n",
    HEADER.encode() + b"\n" + flight(5).encode() + b"\n",
    HEADER.replace("delay", "origin").encode() + b"\n1,2,3,4,5,6\n",
    b"other,columns\n1,2\n",
    PARQUET,
    b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
    b"flight_id" + b",c" * 10_000 + b"\n",
]


def _clear(project: Project, *arguments: str) -> tuple[int, str]:
    """Run a command that must end in time, by success or a clear error."""
    began = time.monotonic()
    ended = project.mainstem(*arguments)
    assert time.monotonic() - began < SECONDS
    assert ended.code in (0, 1) and "Traceback" not in ended.out + ended.err, ended
    return ended.code, ended.out + ended.err


@pytest.mark.parametrize("part", [0, 1])
def test_a_new_source(live: Project, tally: Any, part: int) -> None:
    (live.root / "hostile").mkdir()
    flights = (live.root / "flights.py").read_text()
    for kind, (name, body) in [*FILES.items()][part::2]:
        for old in (live.root / "hostile").iterdir():
            old.unlink()
        (live.root / "hostile" / name).write_bytes(body)
        live.write("flights.py", f'{flights}\nhostile = ms.files("hostile/{name}")\n')
        code, said = _clear(live, "run")
        if code == 0 and "hostile" in said:
            rows = live.published("hostile")
            tally("rows were read" if rows else "no rows")
        else:
            assert "hostile" in said, (kind, said)
            tally("clear error")
        live.write("flights.py", flights)
        (live.root / "schemas.lock").write_text(_without(live, "hostile"))
        assert live.published() == FLIGHTS, kind


def test_10_000_columns(live: Project, tally: Any) -> None:
    (live.root / "wide.csv").write_bytes(WIDE)
    flights = (live.root / "flights.py").read_text()
    live.write("flights.py", f'{flights}\nwide = ms.files("wide.csv")\n')
    process = live.start("run", "-s", "wide")
    _, err = process.communicate(timeout=600)
    assert process.returncode in (0, 1) and "Traceback" not in err
    tally("clear error" if process.returncode else "rows were read")
    live.write("flights.py", flights)
    assert live.published() == FLIGHTS


def _without(project: Project, name: str) -> str:
    text = (project.root / "schemas.lock").read_text()
    head, found, rest = text.partition(f"[{name}]\n")
    return head + (rest[rest.index("\n[") + 1 :] if "\n[" in rest else "") if found else text


def test_a_file_more_of_a_known_source(live: Project, tally: Any) -> None:
    path = live.root / "data/more.csv"
    before = FLIGHTS
    for body in LATER:
        path.write_bytes(body)
        code, said = _clear(live, "run", "--json")
        if code:
            tally("clear error")
        else:
            step = next((s for s in json.loads(said)["steps"] if s["node"] == "flights"), None)
            if step and step["quarantined"]:
                tally("rows set aside")
            else:
                tally("rows were read" if live.published() != before else "no rows")
        rows = live.published()
        assert rows in (FLIGHTS, FLIGHTS + 1), body[:200]
        before = rows
        path.unlink()
        assert live.mainstem("run").code == 0
        before = live.published()
