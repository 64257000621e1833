"""GET /docs: the API documentation with an example to copy for each endpoint. It works offline."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import ibis.expr.datatypes as dt

from mainstem.errors import MissingExtra
from mainstem.masking import masked
from mainstem.serving.http.messages import HTML, Request, Response
from mainstem.serving.http.openapi import view_says, views_of
from mainstem.serving.http.routing import Route
from mainstem.serving.live import Live
from mainstem.serving.service import Service
from mainstem.streaming.rows import RowSchema


def routes(service: Service) -> list[Route]:
    async def get(request: Request) -> Response:
        base = f"http://{request.header('host') or '127.0.0.1:8100'}"
        page = render(service.live, service.project, base, locked=not service.keyring.keyless)
        return Response(masked(page).encode(), type=HTML)

    return [Route("GET", "/docs", get)]


def render(live: Live, project: str, base: str, *, locked: bool = False) -> str:
    """Return the page."""
    try:
        from jinja2 import Environment
    except ImportError:
        raise MissingExtra.named("serve", "jinja2") from None
    source = resources.files("mainstem.serving.http").joinpath("docs.html").read_text()
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    endpoints = [
        _described(f"/predict/{name}", predictor.schema, base, locked, predictor.description, predictor.version.id)
        for name, predictor in live.predictors.items()
    ]
    streams = [
        _described(f"/events/{name}", ingest.schema, base, locked, ingest.stream.description, None)
        for name, ingest in live.ingests.items()
    ]
    views = [
        _described(f"/features/{name}", schema, base, locked, view_says(view), None)
        for name, view, schema in views_of(live)
    ]
    outcomes = [
        _described(f"/outcomes/{name}", taker.schema, base, locked, None, None) for name, taker in live.takers.items()
    ]
    shown = {"endpoints": endpoints, "outcomes": outcomes, "views": views, "streams": streams, "missing": live.missing}
    return template.render(project=project, locked=locked, **shown)


def _described(
    path: str, schema: RowSchema, base: str, locked: bool, description: str | None, version: str | None
) -> dict[str, Any]:
    fields = [(name, type, name in schema.required, True) for name, type in schema.columns.items()]
    fields += [(name, type, False, False) for name, type in schema.optional.items()]
    example = {name: _example(type) for name, type in schema.columns.items()}
    key = " -H 'Authorization: Bearer '$MAINSTEM_KEY" if locked else ""
    call = f"curl {base}{path}{key} -H 'Content-Type: application/json' \\\n  -d '{json.dumps(example)}'"
    return {"path": path, "description": description, "version": version, "fields": fields, "call": call}


def _example(type: str) -> Any:
    parsed = dt.dtype(type)
    if parsed.is_timestamp():
        return "2013-12-01T10:00:00Z"
    if parsed.is_boolean():
        return True
    return 1 if parsed.is_integer() else 1.5 if parsed.is_floating() else "text"
