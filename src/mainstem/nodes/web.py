"""Web pages as a source: which elements are rows, and which pages are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.nodes.base import names
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import a, integer, mapping, optional, text
from mainstem.nodes.limits import LIMITS, Limits
from mainstem.nodes.sources import COLLECTED, KnownSpec, Source


@dataclass(frozen=True, eq=False, kw_only=True)
class Web(Source):
    """Rows of web pages. Selectors are CSS, or XPath if they begin with `/`, `./` or `(`. Those of `fields` apply in
    a row. `next` selects links to the next page. `follow` selects links to the pages that have the rows, up to `depth`
    links away."""

    url: str
    rows: str
    fields: Mapping[str, str]
    limits: Limits = Limits()  # noqa: RUF009
    next: str | None = None
    follow: str | None = None
    depth: int = 1


@declared(
    url=text,
    rows=text,
    fields=mapping(text, at_least=1),
    limits=a(Limits, LIMITS),
    next=optional(text),
    follow=optional(text),
    depth=integer(1),
    **COLLECTED,
)
def web(
    url: str,
    *,
    rows: str,
    fields: Mapping[str, str],
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
    origin are left out. `limits` are as in `api`."""
    return Web(
        url=url,
        rows=rows,
        fields=dict(fields),
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
