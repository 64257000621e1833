"""Extractors by the kind of source: each turns a `Request` into an `Extraction`, columnar all the way.

`register(MySource, extract)` adds one; what is built in is registered the same way.
"""

from __future__ import annotations

from mainstem.errors import SourceError
from mainstem.nodes.sources import Api, Database, Files, Source, Web
from mainstem.sources.extract import api, database, files, web
from mainstem.sources.extraction import Extraction, Extractor, Request

EXTRACTORS: dict[type[Source], Extractor] = {}


def register(kind: type[Source], extractor: Extractor) -> None:
    """Let sources of a `kind`, and of its subclasses, be read by `extractor`."""
    EXTRACTORS[kind] = extractor


def extract(request: Request) -> Extraction:
    """What is new in a source. Raises `SourceError`."""
    for kind in type(request.node).__mro__:
        if kind in EXTRACTORS:
            return EXTRACTORS[kind](request)
    raise SourceError(
        f"nothing reads a {type(request.node).__name__.lower()}",
        where=request.where,
        hint="mainstem.sources.extract.register(kind, extractor)",
    )


register(Files, files.extract)
register(Database, database.extract)
register(Api, api.extract)
register(Web, web.extract)
