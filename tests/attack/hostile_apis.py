"""A project whose sources are all hostile web servers or broken databases, each given secrets of odd shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hostile_http import BAD, OK, ROWS, SLOW, TOO_LARGE, Hostile

CANARIES = {
    "HEADER_KEY": "c4n4ry-\"header\"-'7f3a'\\n",
    "PARAM_KEY": "c4n4ry/param+&=% <7f3a>;?#",
    "PASSWORD": "c4n4ry-password:7f3a",
    "DB_PASSWORD": "c4n4ry-database-7f3a",
    "PAGE_KEY": "c4n4ry-página-ß-😀-7f3a",
    "BASE64_KEY": "YzRuNHJ5LWJhc2U2NC03ZjNh",
    "FILE_KEY": "c4n4ry-file-7f3a",
    "LINES_KEY": "c4n4ry-first\nsecond-c4n4ry",
}
FRAGMENTS = ("c4n4ry", "C4N4RY", "7f3a", "YzRuNHJ5LWJhc2U2N")
"""Parts of the canaries that occur nowhere else."""

SETTINGS = """
[project]
name = "hostile"
modules = ["sources"]

[serve]
log = "server.log"
"""
GOOD = """
import os

import mainstem as ms

URL = os.environ["HOME_URL"]
WITH_PASSWORD = URL.replace("://", "://me:${env:PASSWORD}@")
SECRET = dict(
    headers={"X-Key": "Bearer ${env:HEADER_KEY}", "X-Other": "${env:BASE64_KEY}"}, params={"key": "${env:PARAM_KEY}"}
)
FEW = ms.limits(bytes=1_000_000, seconds=1.0, pages=5, redirects=3)
ROW = {"n": "int64"}

numbers = ms.files("numbers.csv", schema=ROW)
"""
OTHERS = """
closed = ms.api("http://me:${env:PASSWORD}@127.0.0.1:1/x", schema=ROW, limits=FEW, **SECRET)
unknown = ms.api("http://${env:FILE_KEY}.invalid/x", schema=ROW, limits=FEW, **SECRET)
lines = ms.api(f"{URL}/lines", schema=ROW, limits=FEW, headers={"X-Key": "${env:LINES_KEY}"})
page = ms.web(f"{WITH_PASSWORD}/web?key=${env:PAGE_KEY}", rows="tr", fields={"n": "td"}, limits=FEW)
table = ms.database("postgresql://me:${env:DB_PASSWORD}@127.0.0.1:1/x", table="t", schema=ROW)
options = ms.database("postgresql://127.0.0.1:1/x?user=me&password=${env:DB_PASSWORD}", table="t", schema=ROW)
missing = ms.database("sqlite:///${env:FILE_KEY}.db", table="t", schema=ROW)
""".replace("${env:PAGE_KEY}", "${{env:PAGE_KEY}}")
SOURCE = '{name} = ms.api(f"{{WITH_PASSWORD}}/{name}", schema=ROW, {more}limits=FEW, **SECRET)\n'


def answers(home: Hostile, elsewhere: Hostile) -> dict[str, str]:
    """Let the server answer each kind of attack under a path of its own. Return the sources, by name."""
    found: dict[str, str] = {}

    def add(kind: str, more: str = "") -> str:
        name = f"source_{len(found)}_{''.join(c if c.isalnum() else '_' for c in kind.lower())}"
        found[name] = SOURCE.format(name=name, more=more)
        return f"/{name}"

    for kind, (rest, _) in BAD.items():
        head = OK if b"Content-Type" not in rest else OK.replace(b"Content-Type: application/json\r\n", b"")
        home.raw(add(kind), head + rest)
    for kind, parts in SLOW.items():
        home.raw(add(kind), *parts, pause=0.02)
    for kind, write in TOO_LARGE.items():
        home.answers[add(kind)] = write
    loop = add("a redirect loop")
    home.redirect(loop, loop)
    home.redirect(add("a redirect to a refusal elsewhere"), f"{elsewhere.url}/refused")
    elsewhere.raw("/refused", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    home.redirect(add("a redirect to a file"), "file:///etc/passwd")
    home.json(add("a next page elsewhere", 'records="items", '), {"items": ROWS, "next": f"{elsewhere.url}/next"})
    endless = add("pages without end", 'records="items", ')
    home.answers[endless] = lambda handler: page(home, handler, endless)
    for kind in ("what was sent", "what was sent as rows"):
        home.answers[add(kind, 'records="rows.here", ' if kind == "what was sent" else "")] = lambda h: echo(home, h)
    home.raw("/web", *SLOW["a slow body"], pause=0.02)
    return found


def page(home: Hostile, handler: Any, path: str) -> None:
    number = len(home.seen)
    home.json("/page", {"items": [{"n": number}], "next": f"{path}?page={number}"})
    home.answers["/page"](handler)


def echo(home: Hostile, handler: Any) -> None:
    """Tell the client what it sent, as names and as values."""
    sent = {name: handler.headers[name] for name in ("X-Key", "Authorization", "X-Other")}
    home.json("/echo", [{"n": str(sent), "key": handler.path, str(sent): 1}])
    home.answers["/echo"](handler)


def write(root: Path, sources: dict[str, str]) -> list[str]:
    """Add the sources to a project that has run without them, as they were seen before they failed. Return names."""
    others = [line.partition(" = ")[0] for line in OTHERS.strip().splitlines()]
    sections = [f'\n[{name}]\nn = "{"string" if name == "page" else "int64"}"\n' for name in (*sources, *others)]
    lock = root / "schemas.lock"
    lock.write_text(lock.read_text() + "".join(sections))
    return [*sources, *others]


def step_errors(out: str) -> dict[str, str]:
    """The error of each failed step of `mainstem run --json`."""
    return {step["node"]: step["error"] for step in json.loads(out)["steps"] if step["status"] == "failed"}
