"""How much a source may take from a web server."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mainstem.nodes.base import refused


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

    def __post_init__(self) -> None:
        for each in fields(self):
            _positive(each.name, getattr(self, each.name), whole=each.name != "seconds")


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


def check_limits(value: object) -> None:
    """Refuse a value that is not `Limits`. Raises `DefinitionError`."""
    if not isinstance(value, Limits):
        raise refused("`limits` is invalid", value, "limits=ms.limits(seconds=600)")


def _positive(name: str, value: object, *, whole: bool) -> None:
    least = 0 if name == "redirects" else 1
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not value >= (least if whole else 0.001):  # type: ignore[operator]
        expected = f"a whole number of at least {least}" if whole else "a positive number of seconds"
        raise refused(f"`{name}` of limits is invalid", value, expected)
