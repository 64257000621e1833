"""Web pages as a source: which elements are rows, and which pages are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.nodes.base import names
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import a, mapping, text
from mainstem.nodes.limits import LIMITS, Limits
from mainstem.nodes.sources import COLLECTED, KnownSpec, Source


@dataclass(frozen=True, eq=False, kw_only=True)
class Web(Source):
    """Rows of a web page. `rows` and the values of `fields` are CSS selectors; the latter apply within a row."""

    url: str
    rows: str
    fields: Mapping[str, str]
    limits: Limits = Limits()  # noqa: RUF009


@declared(url=text, rows=text, fields=mapping(text, at_least=1), limits=a(Limits, LIMITS), **COLLECTED)
def web(
    url: str,
    *,
    rows: str,
    fields: Mapping[str, str],
    key: str | Sequence[str] | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    limits: Limits = Limits(),  # noqa: B008
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Web:
    """Declare rows of an HTML page: one row per element of the CSS selector `rows`, one column per entry
    of `fields`. `limits` are as in `api`."""
    return Web(
        url=url,
        rows=rows,
        fields=dict(fields),
        limits=limits,
        key=names(key),
        known=known,
        schema=schema,
        checks=tuple(checks),
        **meta,
    )
