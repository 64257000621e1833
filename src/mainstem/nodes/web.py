"""Web pages as a source: which elements are rows, and which pages are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from mainstem.nodes.base import names, refused
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import Kind, a, integer, mapping, optional, text
from mainstem.nodes.limits import LIMITS, Limits
from mainstem.nodes.sources import COLLECTED, KnownSpec, Source

Spider = Callable[[Any], Iterator[Mapping[str, str | None] | str]]
"""Reads a page, which has `url`, `css(…)` and `xpath(…)`: yields a mapping of texts for each row, and a text for each
link to a page that is to be read too."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Web(Source):
    """Rows of web pages. Selectors are CSS, or XPath if they begin with `/`, `./` or `(`. Those of `fields` apply in
    a row. `next` selects links to the next page. `follow` selects links to the pages that have the rows, up to `depth`
    links away. A `spider` reads pages instead of selectors."""

    url: str
    rows: str | None
    fields: Mapping[str, str]
    limits: Limits = Limits()  # noqa: RUF009
    next: str | None = None
    follow: str | None = None
    depth: int = 1
    spider: Spider | None = None


def _spider(name: str, value: Any) -> None:
    if not isinstance(value, FunctionType):
        raise refused(f"`{name}` is not a function", value, "a function of a page, which yields rows and links")


_SPIDER: Kind = optional(_spider)


@declared(
    url=text,
    rows=optional(text),
    fields=optional(mapping(text, at_least=1)),
    spider=_SPIDER,
    limits=a(Limits, LIMITS),
    next=optional(text),
    follow=optional(text),
    depth=integer(1),
    **COLLECTED,
)
def web(
    url: str,
    *,
    rows: str | None = None,
    fields: Mapping[str, str] | None = None,
    spider: Spider | None = None,
    next: str | None = None,
    follow: str | None = None,
    depth: int = 1,
    key: str | Sequence[str] | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    limits: Limits = Limits(),  # noqa: B008
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Web:
    """Declare rows of HTML pages: one row per element of the selector `rows`, one column per entry of `fields`.

    Selectors are CSS, or XPath if they begin with `/`, `./` or `(`. `next` selects the link to the next page. `follow`
    selects links to pages that have the rows, which in turn are followed up to `depth` links away. Links to another
    origin are left out. `limits` are as in `api`. `spider`, in the place of selectors, is a function of a page, which
    has `url`, `css(…)` and `xpath(…)`: it yields a mapping of texts for each row, and a text for each link to a page
    that is to be read too."""
    if spider is None and (rows is None or fields is None):
        raise refused(
            "a web source requires `rows` and `fields`, or a `spider`", rows, 'rows="tr", fields={"code": "td"}'
        )
    given = {"rows": rows, "fields": fields, "next": next, "follow": follow}
    for name, value in given.items():
        if spider is not None and value is not None:
            raise refused(f"a `spider` reads pages without `{name}`", value, "one of them")
    return Web(
        url=url,
        rows=rows,
        fields=dict(fields or {}),
        spider=spider,
        next=next,
        follow=follow,
        depth=depth,
        limits=limits,
        key=names(key),
        known=known,
        schema=schema,
        checks=tuple(checks),
        **meta,
    )
