"""A small schema registry on loopback: the part of Confluent's REST API that clients of Avro topics use."""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Registry:
    """Schemas by id, and the ids of each subject's versions. With a `password`, the user `reader` must give it."""

    def __init__(self) -> None:
        self.schemas: list[dict[str, Any]] = []
        self.subjects: dict[str, list[int]] = {}
        self.password: str | None = None
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                self._answer(*registry.answer(self.path, self.headers.get("Authorization")))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                subject = self.path.split("/")[2]
                self._answer(200, {"id": registry.register(subject, json.loads(body["schema"]))})

            def _answer(self, status: int, found: Any) -> None:
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def register(self, subject: str, schema: Any, **more: Any) -> int:
        """Add a version of a subject. Return the schema's id."""
        self.schemas.append({"schema": json.dumps(schema), **more})
        self.subjects.setdefault(subject, []).append(len(self.schemas))
        return len(self.schemas)

    def answer(self, path: str, authorization: str | None) -> tuple[int, Any]:
        if self.password is not None:
            pair = base64.b64encode(f"reader:{self.password}".encode()).decode()
            if authorization != f"Basic {pair}":
                return 401, {"error_code": 40101, "message": "Unauthorized"}
        if found := re.fullmatch(r"/schemas/ids/(\d+)", path):
            id = int(found[1])
            known = 0 < id <= len(self.schemas)
            return (200, self.schemas[id - 1]) if known else (404, {"error_code": 40403, "message": "Schema not found"})
        if found := re.fullmatch(r"/subjects/([^/]+)/versions/(latest|\d+)", path):
            ids = self.subjects.get(found[1], [])
            version = len(ids) if found[2] == "latest" else int(found[2])
            if 0 < version <= len(ids):
                about = {"subject": found[1], "version": version, "id": ids[version - 1]}
                return 200, {**about, **self.schemas[ids[version - 1] - 1]}
        return 404, {"error_code": 40401, "message": "Subject not found"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def wire(id: int, schema: Any, record: dict[str, Any]) -> bytes:
    """A record in Confluent's wire format."""
    return b"\0" + id.to_bytes(4, "big") + plain(schema, record)


def plain(schema: Any, record: dict[str, Any]) -> bytes:
    """A record without its schema."""
    from io import BytesIO

    import fastavro

    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()
