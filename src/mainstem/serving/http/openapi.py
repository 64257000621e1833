"""GET /openapi.json: the API as OpenAPI 3.1, generated from the request schemas of endpoints and streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ibis.expr.datatypes as dt

from mainstem.features.online.view import OnlineView
from mainstem.masking import masked_all
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.routing import Route
from mainstem.serving.live import Live
from mainstem.serving.reasons import MOST_REASONS
from mainstem.serving.service import Service
from mainstem.streaming.rows import RowSchema


def routes(service: Service) -> list[Route]:
    async def get(request: Request) -> Response:
        return Response(encode(masked_all(document(service.live, service.project))))

    return [Route("GET", "/openapi.json", get)]


def document(live: Live, title: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, Any] = {}
    for name, predictor in live.predictors.items():
        options = {"time": _instant()} if predictor.events is None else {"backfill": _BACKFILL}
        schema = _rows(predictor.schema, "rows", {**options, "reasons": _REASONS})
        paths[f"/predict/{name}"] = _post(f"Predict with {predictor.version.id}.", schema, 200)
        asked = {"name": "reasons", "in": "query", "required": False, "schema": _REASONS}
        paths[f"/predict/{name}"]["post"]["parameters"] = [asked]
    for name, ingest in live.ingests.items():
        schema = _rows(ingest.schema, "events", {"backfill": _BACKFILL})
        paths[f"/events/{name}"] = _post(f"Send events of {name}; all are taken, or none.", schema, 202)
        paths[f"/events/{name}"]["post"]["parameters"] = [_IDEMPOTENCY]
    for name, taker in live.takers.items():
        schema = _rows(taker.schema, "outcomes", {})
        paths[f"/outcomes/{name}"] = _post(f"Send outcomes of {name}; all are taken, or none.", schema, 202)
    for name, view, keys in views_of(live):
        schema = _rows(keys, "rows", {"time": _instant()})
        paths[f"/features/{name}"] = _post(view_says(view), schema, 200)
        paths["/features"] = _post("Read several views at once.", _SEVERAL, 200)
    said_of = {
        "/health": "The process answers.",
        "/live": "The process answers.",
        "/ready": "Every endpoint can answer.",
        "/metrics": "Counters.",
    }
    for path, said in said_of.items():
        paths[path] = {"get": {"summary": said, "responses": {"200": {"description": "as said"}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": live.release.id or "none"},
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR},
        },
        "security": [{"key": []}, {}],
    }


def views_of(live: Live) -> Iterator[tuple[str, OnlineView, RowSchema]]:
    """Yield the online views, each with its request schema."""
    if live.features is not None:
        for name, view in live.features.views.items():
            yield name, view, live.features.schema([name])


def view_says(view: OnlineView) -> str:
    """Return a line about a view that is online."""
    return f"Read {view.view.name} as it stands: {', '.join(view.view.schema)}."


_SEVERAL = {
    "type": "object",
    "required": ["views", "rows"],
    "properties": {
        "views": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "rows": {"type": "array", "items": {"type": "object"}, "minItems": 1},
        "time": {"type": ["string", "null"], "format": "date-time"},
    },
    "additionalProperties": False,
}

_BACKFILL = {"type": "boolean", "default": False}

_REASONS = {"type": "integer", "minimum": 0, "maximum": MOST_REASONS, "default": 0}

_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A request that is sent again with the same key and body counts once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_ERROR = {
    "type": "object",
    "required": ["error", "what"],
    "properties": {name: {"type": "string"} for name in ("error", "what", "where", "got", "expected", "hint")},
}


def _post(summary: str, schema: Mapping[str, Any], status: int) -> dict[str, Any]:
    failed = {"$ref": "#/components/schemas/Error"}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": {
                str(status): {"description": "done; written data is on disk"},
                "default": {"description": "refused", "content": {"application/json": {"schema": failed}}},
            },
        }
    }


def _rows(schema: RowSchema, field: str, options: Mapping[str, Any]) -> dict[str, Any]:
    row = row_schema(schema)
    many = {"type": "array", "items": row, "minItems": 1}
    wrapped = {
        "type": "object",
        "required": [field],
        "properties": {field: many, **options},
        "additionalProperties": False,
    }
    return {"oneOf": [row, many, wrapped]}


def row_schema(schema: RowSchema) -> dict[str, Any]:
    """Return the JSON Schema of one row."""
    properties = {name: json_type(type, name not in schema.required) for name, type in schema.columns.items()}
    properties |= {name: json_type(type, True) for name, type in schema.optional.items()}
    return {
        "type": "object",
        "required": list(schema.columns),
        "properties": properties,
        "additionalProperties": False,
    }


def json_type(type: str, nullable: bool) -> dict[str, Any]:
    """Return the JSON Schema of an Ibis type."""
    parsed = dt.dtype(type)
    if parsed.is_timestamp():
        return _instant(nullable)
    if isinstance(parsed, dt.Array):
        words: Any = ["array", "null"] if nullable else "array"
        return {"type": words, "items": json_type(str(parsed.value_type), False)}
    word = "integer" if parsed.is_integer() else "number" if parsed.is_floating() else str(parsed)
    return {"type": [word, "null"] if nullable else word}


def _instant(nullable: bool = True) -> dict[str, Any]:
    return {"type": ["string", "null"] if nullable else "string", "format": "date-time"}
