"""How much a source may take from a web server."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import integer, number

LIMITS = "limits, as in limits=ms.limits(seconds=600)"
"""What a parameter for limits takes."""


@dataclass(frozen=True)
class Limits:
    """The limits of one collection, or of one look-up. A server that exceeds one is refused with a `SourceError`.

    `bytes` is the largest body of an answer, also after decompression. `seconds` is the time of all answers together.
    `pages` and `redirects` are the most pages of a collection and redirects of an answer.
    """

    bytes: int = 67_108_864
    seconds: float = 3_600.0
    pages: int = 10_000
    redirects: int = 10


@declared(bytes=integer(1), seconds=number(above=0), pages=integer(1), redirects=integer(0))
def limits(
    *,
    bytes: int = Limits.bytes,
    seconds: float = Limits.seconds,
    pages: int = Limits.pages,
    redirects: int = Limits.redirects,
) -> Limits:
    """Set how much a source of kind `api` or `web` may take: `limits=ms.limits(seconds=600, pages=500)`.

    `bytes` is the largest body of an answer, also after decompression (default 64 MiB). `seconds` is the time of a
    whole collection (default 3600). `pages` are pages of a collection (default 10,000), `redirects` those of an answer
    (default 10; 0 follows none). Raises `DefinitionError`.
    """
    return Limits(bytes, seconds, pages, redirects)
