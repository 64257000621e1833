"""A real Iceberg REST catalog on loopback: Iceberg's own, as its tests run it, on Jetty and SQLite.

Maven brings the jars once, into a cache directory; `MAINSTEM_TEST_REST_JARS` names one that has them already. The
classes have no program that listens on loopback only, so py4j makes the server in a Java process of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn
from urllib.parse import parse_qs

import pytest

VERSION = "1.11.0"
PATIENCE = 120.0

_JARS = {
    "org.apache.iceberg:iceberg-core": VERSION,
    "org.apache.iceberg:iceberg-core:tests": VERSION,
    "org.apache.iceberg:iceberg-aws": VERSION,
    "org.apache.iceberg:iceberg-aws-bundle": VERSION,
    "org.apache.hadoop:hadoop-client-runtime": "3.4.2",
    "org.eclipse.jetty:jetty-servlet": "11.0.26",
    "org.xerial:sqlite-jdbc": "3.50.3.0",
    "org.slf4j:slf4j-simple": "2.0.17",
    "net.sf.py4j:py4j": "0.10.9.9",
}


class Server:
    """A Java process with catalogs, each with a port and a database of its own. `kill` ends it as a crash does; after
    another `start` it has the same catalogs."""

    def __init__(self, jars: Path, directory: Path, free_port: Callable[[], int]) -> None:
        self._jars, self._directory, self._free_port = jars, directory, free_port
        self._process: subprocess.Popen[str] | None = None
        self._java: Any = None
        self._catalogs: dict[int, dict[str, str]] = {}
        self._running: dict[int, Any] = {}

    def start(self) -> None:
        from py4j.java_gateway import GatewayParameters, JavaGateway

        options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        command = ["java", *options, "-cp", f"{self._jars}/*", "py4j.GatewayServer", "--die-on-broken-pipe", "0"]
        pipe = subprocess.PIPE
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True)
        assert self._process.stdout is not None
        gateway = int(self._process.stdout.readline())
        parameters = GatewayParameters(port=gateway, auto_convert=True, enable_memory_management=False)
        self._java = JavaGateway(gateway_parameters=parameters)
        for port, properties in self._catalogs.items():
            self._listen(port, properties)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._java.close()
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process = None
            self._running.clear()

    def catalog(self, storage: dict[str, str] | None = None) -> str:
        """Make an empty catalog, and return its URL. With `storage`, its lake is at S3."""
        port = self._free_port()
        self._catalogs[port] = self._properties(port, storage)
        self._listen(port, self._catalogs[port])
        return f"http://127.0.0.1:{port}"

    def end(self, url: str) -> None:
        """End a catalog."""
        port = int(url.rpartition(":")[2])
        self._catalogs.pop(port)
        if port in self._running:
            self._running.pop(port).stop()

    def _listen(self, port: int, properties: dict[str, str]) -> None:
        jvm = self._java.jvm
        catalog = jvm.org.apache.iceberg.CatalogUtil.buildIcebergCatalog(
            "backend", properties, jvm.org.apache.hadoop.conf.Configuration()
        )
        adapter = jvm.org.apache.iceberg.rest.RESTCatalogAdapter(catalog)
        servlet = jvm.org.apache.iceberg.rest.RESTCatalogServlet(adapter)
        paths = jvm.org.eclipse.jetty.servlet.ServletContextHandler()
        paths.addServlet(jvm.org.eclipse.jetty.servlet.ServletHolder(servlet), "/*")
        server = jvm.org.eclipse.jetty.server.Server(jvm.java.net.InetSocketAddress("127.0.0.1", port))
        server.setHandler(paths)
        server.start()
        self._running[port] = server

    def _properties(self, port: int, storage: dict[str, str] | None) -> dict[str, str]:
        found = {
            "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            "uri": f"jdbc:sqlite:{self._directory}/{port}.db",
            "jdbc.schema-version": "V1",
            "clients": "1",
            "warehouse": f"{self._directory}/warehouse",
        }
        if storage:
            found |= {
                "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
                "s3.endpoint": storage["endpoint"],
                "s3.access-key-id": storage["access_key"],
                "s3.secret-access-key": storage["secret_key"],
                "s3.path-style-access": "true",
                "client.region": storage["region"],
            }
        return found


class Guarded:
    """A gateway before a server, which lets in who has a token. The program `client`, with its secret, may have one.

    The next `refused` requests are answered with 503. With a certificate, a file with its key, it speaks TLS.
    """

    client, secret, token = "mainstem", "s3cret-of-the-client", "t0ken-of-the-gateway"

    def __init__(self, url: str, certificate: Path | None = None) -> None:
        self.refused, self.granted, self.asked = 0, 0, 0
        self.overrides = dict[str, str]()  # settings that the server gives to clients
        self.moved = ""  # the URL that every request is sent on to
        onto = int(url.rpartition(":")[2])
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gateway.asked += 1
                if gateway.moved:
                    return self._send(307, b"", gateway.moved + self.path)
                if self.path.endswith("/oauth/tokens"):
                    if self._is_refused():
                        return None
                    return self._grant(parse_qs(body.decode()))
                if self.headers.get("Authorization") != f"Bearer {gateway.token}":
                    return self._fail(401, "NotAuthorizedException", "the token is invalid")
                if gateway.overrides and self.path.startswith("/v1/config"):
                    return self._send(200, json.dumps({"defaults": {}, "overrides": gateway.overrides}).encode())
                if self._is_refused():
                    return None
                onward = HTTPConnection("127.0.0.1", onto, timeout=60)
                kept = {name: self.headers[name] for name in ("Content-Type",) if name in self.headers}
                onward.request(self.command, self.path, body, kept)
                answer = onward.getresponse()
                content = answer.read()
                onward.close()
                return self._send(answer.status, content)

            do_GET = do_POST = do_DELETE = do_HEAD = _answer

            def _is_refused(self) -> bool:
                if gateway.refused <= 0:
                    return False
                gateway.refused -= 1
                self._fail(503, "ServiceUnavailableException", "come back later")
                return True

            def _grant(self, asked: dict[str, list[str]]) -> None:
                if (asked.get("client_id"), asked.get("client_secret")) != ([gateway.client], [gateway.secret]):
                    return self._send(401, json.dumps({"error": "invalid_client"}).encode())
                gateway.granted += 1
                return self._send(200, json.dumps({"access_token": gateway.token, "token_type": "bearer"}).encode())

            def _fail(self, code: int, type: str, message: str) -> None:
                self._send(code, json.dumps({"error": {"code": code, "type": type, "message": message}}).encode())

            def _send(self, status: int, body: bytes, location: str | None = None) -> None:
                self.send_response(status)
                if location is not None:
                    self.send_header("Location", location)
                self.send_header("Content-Type", "application/json")
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Do not log requests."""

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that is gone is no error."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _pom() -> str:
    found = []
    for name, version in _JARS.items():
        group, artifact, *classifier = name.split(":")
        kind = f"<classifier>{classifier[0]}</classifier>" if classifier else ""
        where = f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        found.append(f"<dependency>{where}<version>{version}</version>{kind}</dependency>")
    own = "<groupId>mainstem</groupId><artifactId>test-rest-catalog</artifactId><version>1</version>"
    head = '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    return f"{head}{own}<dependencies>{''.join(found)}</dependencies></project>"


def _jars(missing: Callable[[str], NoReturn]) -> Path:
    """The directory with the jars. The first process that needs them brings them."""
    if given := os.environ.get("MAINSTEM_TEST_REST_JARS"):
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mainstem-tests"
    place = cache / f"rest-catalog-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "rest-catalog.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.exists():
            return place
        maven = shutil.which("mvn")
        if maven is None:
            missing("Maven is not installed, which brings Iceberg's REST catalog: apt-get install maven")
        draft = place.with_name(f"{place.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        (draft / "pom.xml").write_text(_pom())
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={draft}"]
        command = [maven, "-q", "-B", "-f", str(draft / "pom.xml"), *goal]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not list(draft.glob("iceberg-core-*.jar")):
            missing(f"Iceberg's REST catalog cannot be downloaded by Maven: {(done.stdout + done.stderr)[:500]}")
        draft.rename(place)
        return place


@pytest.fixture(scope="session")
def rest_jars(missing: Callable[[str], NoReturn]) -> Path:
    """The jars of a server, where everything that it needs is installed."""
    if find_spec("py4j") is None:
        missing("py4j is not installed: pip install 'mainstem[spark]'")
    if shutil.which("java") is None:
        missing("Java is not installed, which runs the REST catalog: apt-get install openjdk-17-jre-headless")
    return _jars(missing)


@pytest.fixture(scope="session")
def rest_server(
    rest_jars: Path, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Server]:
    """The server of all tests, which none of them ends."""
    server = Server(rest_jars, tmp_path_factory.mktemp("rest-catalog"), free_port)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def new_catalog(rest_server: Server) -> Iterator[Callable[..., str]]:
    """Make an empty catalog, and return its URL. It ends with the test."""
    made = list[str]()

    def make(storage: dict[str, str] | None = None) -> str:
        made.append(rest_server.catalog(storage))
        return made[-1]

    yield make
    for url in made:
        rest_server.end(url)


@pytest.fixture
def mortal_rest(rest_jars: Path, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Server]:
    """A server of one test, to be killed and started again."""
    directory = tmp_path / "rest-catalog"
    directory.mkdir()
    server = Server(rest_jars, directory, free_port)
    server.start()
    yield server
    server.kill()
