"""Secrets as canaries: a project takes them from its environment, and no exit shows one, plain or encoded."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import canaries
from mainstem.cli.app import run
from mainstem.sources.secrets import expand_url

CANARIES = {
    "HEADER_KEY": "c4n4ry-header-7f3a",
    "PARAM_KEY": "c4n4ry/param+&= \"<7f3a>'",
    "PASSWORD": "c4n4ry-password-7f3a",
    "DB_PASSWORD": "c4n4ry-database-7f3a",
    "PAGE_KEY": "c4n4ry-página-7f3a",
    "SHORT": "c4n4ry",
    "ODD_KEY": "c4n4ry-odd\nsecond-c4n4ry-line",
    "CATALOG": "c4n4ry-catalog",
}
ROW = 'n = "int64"'
FRAGMENTS = ("c4n4ry", "7f3a", "second-c4", "página")
"""Parts of the canaries that occur nowhere else."""

SETTINGS = """
[project]
name = "secrets"
modules = ["sources"]

[profile.default]
state = "sqlite:///.mainstem/state.db"

[profile.broken]
state = "postgresql://me:${env:DB_PASSWORD}@127.0.0.1:1/x"

[profile.wrong]
state = "${env:CATALOG}://nowhere"

[profile.number]
threads = "${env:CATALOG}"

[profile.redis]
online = "redis://:${env:PASSWORD}@127.0.0.1:1/0"
"""

SOURCES = """
import os

import mainstem as ms
from mainstem.nodes.sources import Source
from mainstem.settings import expand
from mainstem.sources.extraction import Extraction
from mainstem.sources.kind import SourceKind
from mainstem.sources.kinds import register

URL = os.environ["ECHO_URL"]
WITH_PASSWORD = URL.replace("://", "://me:${env:PASSWORD}@")
SECRET = dict(headers={"X-Key": "Bearer ${env:HEADER_KEY}"}, params={"key": "${env:PARAM_KEY}", "s": "${env:SHORT}"})
ROW = {"n": "int64"}

numbers = ms.files("numbers.csv", schema=ROW)
"""

BROKEN = """
refused = ms.api(f"{WITH_PASSWORD}/refused", schema=ROW, **SECRET)
echoed = ms.api(f"{WITH_PASSWORD}/echo", records="rows.here", schema=ROW, **SECRET)
echoed_value = ms.api(f"{WITH_PASSWORD}/value", schema=ROW, **SECRET)
cut = ms.api(f"{WITH_PASSWORD}/cut", schema=ROW, **SECRET)
gone = ms.api(f"{WITH_PASSWORD}/redirect", schema=ROW, **SECRET)
linked = ms.api(f"{WITH_PASSWORD}/linked", records="rows", schema=ROW, **SECRET)
header = ms.api(f"{URL}/header", schema=ROW, headers={"X-Key": "${env:ODD_KEY}"})
closed = ms.api("http://me:${env:PASSWORD}@127.0.0.1:1/x", schema=ROW, **SECRET)
page = ms.web(f"{WITH_PASSWORD}/page?key=${{env:PAGE_KEY}}", rows="tr", fields={"n": "td"})
table = ms.database("postgresql://me:${env:DB_PASSWORD}@127.0.0.1:1/x", table="t", schema=ROW)
sampled = ms.api(f"{WITH_PASSWORD}/rows", schema={"key": "string"}, checks=[ms.accepted("key", ["a"])], **SECRET)
"""

UNEXPECTED = """
class Odd(Source):
    pass

class OddKind(SourceKind[Odd]):
    node_type = Odd

    def extract(self, request):
        import logging
        logging.getLogger("odd.library").error("GET /?key=%s", expand("${env:PARAM_KEY}"))
        error = ZeroDivisionError("https://host/?key=" + expand("${env:PARAM_KEY}"))
        raise error from KeyError(expand("${env:ODD_KEY}"))

    def introspect(self, source, root, engine):
        return ROW

    def identity(self, source):
        return {}

register(OddKind())
odd = Odd(schema=ROW)
"""


class Echo(BaseHTTPRequestHandler):
    """Tells its clients what they sent."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        sent = [self.path, self.headers.get("X-Key"), self.headers.get("Authorization")]
        status, headers, body = 200, {"ETag": f'"{sent[1]}"'}, json.dumps({"rows": sent, self.path: sent})
        match path:
            case "/robots.txt":
                status = 404
            case "/refused" | "/page":
                status, headers = 403, {"X-Echo": self.path}
            case "/value":
                body = json.dumps([{"n": f"{sent[1]} {CANARIES['PARAM_KEY']}"}])
            case "/cut":
                body = json.dumps([f"{'x' * 50} {CANARIES['PARAM_KEY']} {sent[1]} {CANARIES['PASSWORD']}"])
            case "/redirect":
                status, headers = 302, {"Location": f"ftp://{CANARIES['HEADER_KEY']}{self.path}"}
            case "/linked":
                body = json.dumps({"rows": [{"n": 1}], "next": f"http://127.0.0.1:1{self.path}"})
            case "/rows":
                body = json.dumps([{"key": CANARIES["PARAM_KEY"]}, {"key": sent[2]}])
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body.encode())

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def secrets(echo: str, tmp_path: Path, project_at: Any) -> Any:
    made = project_at(tmp_path / "secrets")
    made.root.mkdir()
    made.env |= {**CANARIES, "ECHO_URL": echo}
    (made.root / "mainstem.toml").write_text(SETTINGS)
    (made.root / "sources.py").write_text(SOURCES)
    (made.root / "numbers.csv").write_text("n\n1\n2\n")
    made.goes_on()
    return made


def leaks(shown: str | bytes) -> list[str]:
    return canaries.leaks(shown, CANARIES.values(), FRAGMENTS)


def test_the_search_finds_what_is_there() -> None:
    for value in CANARIES.values():
        assert leaks(f"x{value}") and leaks(quote(value)) and leaks(value.encode()) and leaks(value.encode().hex())
        assert leaks(base64.b64encode(f"me:{value}".encode()))
    assert leaks("nothing to see") == []


def test_the_first_look_at_a_source_shows_no_secret(
    echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**CANARIES, "ECHO_URL": echo}.items():
        monkeypatch.setenv(name, value)
    looked = 0
    for line in BROKEN.strip().splitlines():
        project = tmp_path / line.split()[0]
        project.mkdir()
        (project / "mainstem.toml").write_text(SETTINGS.replace('"sources"', f'"of_{project.name}"'))
        (project / f"of_{project.name}.py").write_text(f"{SOURCES}\n{line}\n")
        (project / "numbers.csv").write_text("n\n1\n")
        for arguments in (["plan"], ["run", "--json"]):
            looked += run([*arguments, "-C", str(project)])
            assert leaks("".join(capsys.readouterr())) == [], line
            lock = project / "schemas.lock"
            assert not lock.exists() or leaks(lock.read_bytes()) == []
    assert looked > 10


def broken(project: Any) -> None:
    """Add the sources that fail, as they were seen before they failed."""
    names = [line.split()[0] for line in BROKEN.strip().splitlines()]
    columns = {"sampled": 'key = "string"', "page": 'n = "string"'}
    lock = project.root / "schemas.lock"
    sections = [f"\n[{name}]\n{columns.get(name, ROW)}\n" for name in names]
    lock.write_text(lock.read_text() + "".join(sections))
    project.write("sources.py", SOURCES + BROKEN)


def test_no_exit_shows_a_secret(secrets: Any) -> None:
    broken(secrets)
    said = []
    for arguments in (
        ["plan", "--json"],
        ["run"],
        ["run", "--json"],
        ["status"],
        ["status", "--json"],
        ["show", "refused"],
        ["show", "sampled", "--json"],
        ["run", "--profile", "broken"],
        ["run", "--profile", "wrong", "--json"],
        ["run", "--profile", "number"],
        ["status", "--profile", "redis"],
    ):
        ended = secrets.mainstem(*arguments)
        assert "Traceback" not in ended.out + ended.err, ended
        assert leaks(ended.out + ended.err) == [], arguments
        said.append(ended.out + ended.err)
    text = "\n".join(said)
    for what in ("the server answered 403", "cannot be reached", "n: int64 → string", "another origin", "no web page"):
        assert what in text, f"the run failed for its reason: {what}"
    assert "HTTP does not allow" in text and "***" in text
    assert stored(secrets) == []


def stored(project: Any) -> list[str]:
    """The canaries in the bytes of the state and of every other file that a run wrote, but the data files."""
    files = [path for path in (project.root / ".mainstem").rglob("*") if path.is_file() and path.suffix != ".parquet"]
    assert any(path.name == "state.db" for path in files)
    with sqlite3.connect(project.root / ".mainstem/state.db") as state:
        rows = state.execute("SELECT kind, body FROM records").fetchall()
        state.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    state.close()
    assert any('"failed"' in body and "the server answered 403" in body for _, body in rows)
    files += list(project.root.glob("*.lock"))
    return [f"{path}: {leak}" for path in files for leak in leaks(path.read_bytes())]


def test_the_server_shows_no_secret(secrets: Any) -> None:
    broken(secrets)
    assert secrets.mainstem("run").code == 1
    process = secrets.start("serve", "--port", "0")
    try:
        url = next(word for word in iter(process.stdout.readline, "") if "http://" in word)
        url = url[url.index("http://") :].split()[0]
        said = []
        for path in ("/", "/api/status", "/ready", "/docs", "/openapi.json", "/metrics", "/predict/x", "/features/x"):
            answer = httpx.get(url + path, timeout=60)
            said.append(answer.text + str(answer.headers))
            assert leaks(said[-1]) == [], path
        assert "the server answered 403" in said[0] and "the server answered 403" in said[1]
    finally:
        ended = secrets.end(process, 15)
    assert leaks(ended.out + ended.err) == []


def test_a_traceback_and_a_log_show_no_secret(secrets: Any) -> None:
    secrets.write("sources.py", SOURCES + UNEXPECTED)
    for arguments in (["run"], ["run", "--json"]):
        ended = secrets.mainstem(*arguments)
        assert ended.code == 1 and "Traceback" in ended.err and "ZeroDivisionError: https://host/?key=***" in ended.err
        assert "GET /?key=***" in ended.err
        lines = [line for line in ended.err.splitlines() if "${env:" not in line]
        assert leaks("\n".join(lines) + ended.out) == []


def test_a_module_that_fails_with_a_secret(secrets: Any) -> None:
    secrets.write("sources.py", SOURCES + 'raise RuntimeError("cannot use " + expand("${env:PARAM_KEY}"))\n')
    for arguments in (["plan"], ["run", "--json"]):
        ended = secrets.mainstem(*arguments)
        assert ended.code == 1 and leaks(ended.out + ended.err) == [] and "cannot use ***" in ended.err


def test_a_url_is_expanded_once_for_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from mainstem.masking import masked

    monkeypatch.setenv("WHOLE_URL", "http://me:c4n4ry-in-url@host/x")
    assert expand_url("${env:WHOLE_URL}") == "http://me:c4n4ry-in-url@host/x"
    assert masked("password c4n4ry-in-url") == "password ***"
