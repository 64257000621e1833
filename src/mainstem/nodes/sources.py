"""Sources: external data. A source says where the data is, its key, when a row happened and when
columns become known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mainstem.errors import DefinitionError
from mainstem.nodes.base import Deferred, Node, NodeRef, Origin, check_column, names
from mainstem.nodes.checks import Check
from mainstem.nodes.limits import Limits, check_limits

KnownSpec = Literal["always"] | str | Deferred | Mapping[str, Any] | None
"""When columns become known: `"always"`, an instant column's name, an Ibis expression, or a mapping from columns to
these, with `"*"` for all other columns. None means at `time`; without a `time` it means unknown."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source(Node):
    """External data. `schema` maps columns to Ibis types. It is introspected unless declared."""

    key: tuple[str, ...] = ()
    time: str | None = None
    known: KnownSpec = None
    schema: Mapping[str, str] | None = None
    cursor: str | None = None
    checks: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        check_column(self.time)


@dataclass(frozen=True, eq=False, kw_only=True)
class Files(Source):
    """Files that match a glob below the project. If a file changes, its new rows replace its old rows."""

    path: str
    format: Literal["csv", "parquet", "json"]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Database(Source):
    """A table of a database, or a query. With a `cursor` column, only rows beyond its last value are read."""

    url: str
    table: str | None = None
    query: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Api(Source):
    """A JSON API that is read page by page. `records` is the JSON path of the rows within a page."""

    url: str
    records: str = "$"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cursor_param: str | None = None
    paging: Literal["auto", "page", "offset", "link", "none"] = "auto"
    limits: Limits = Limits()  # noqa: RUF009

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.limits)


@dataclass(frozen=True, eq=False, kw_only=True)
class Web(Source):
    """Rows of a web page. `rows` and the values of `fields` are CSS selectors; the latter apply within a row."""

    url: str
    rows: str
    fields: Mapping[str, str]
    limits: Limits = Limits()  # noqa: RUF009

    def __post_init__(self) -> None:
        super().__post_init__()
        check_limits(self.limits)


@dataclass(frozen=True, eq=False, kw_only=True)
class Stream(Source):
    """Events that are pushed to Mainstem. `history` is the table of events before the stream began.

    With `changes`, each message is a change of an event: its row `before` and `after`. `before` is null for a new
    event, `after` for a deleted one.
    """

    history: NodeRef | None = None
    changes: bool = False


def files(
    path: str,
    *,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    format: Literal["csv", "parquet", "json"] | None = None,
    options: Mapping[str, Any] | None = None,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Files:
    """Declare CSV, Parquet or JSON-lines files that match the glob `path`, relative to the project.

    The suffix tells the format unless `format` is given. `options` are passed to the reader (`delim`, `nullstr`, …).
    """
    suffix = path.removesuffix(".gz").rsplit(".", 1)[-1]
    kind: Any = format or {"jsonl": "json", "ndjson": "json"}.get(suffix, suffix)
    return Files(
        path=path,
        format=kind,
        key=names(key),
        time=time,
        known=known,
        schema=schema,
        options=dict(options or {}),
        checks=tuple(checks),
        **meta,
    )


def database(
    url: str,
    *,
    table: str | None = None,
    query: str | None = None,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    cursor: str | None = None,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Database:
    """Declare a `table` or a `query` of the database at `url` (`sqlite:///…`, `postgresql://…`)."""
    return Database(
        url=url,
        table=table,
        query=query,
        key=names(key),
        time=time,
        known=known,
        schema=schema,
        cursor=cursor,
        checks=tuple(checks),
        **meta,
    )


def api(
    url: str,
    *,
    records: str = "$",
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    cursor: str | None = None,
    cursor_param: str | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    paging: Literal["auto", "page", "offset", "link", "none"] = "auto",
    limits: Limits = Limits(),  # noqa: B008
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Api:
    """Declare a JSON API. With a `cursor` column, its last value is sent as `cursor_param` (default: the column's
    name).

    `headers`, and the password of the URL, go to the URL's origin only: not to another one that the server redirects or
    links to. `limits` is what the server may take of resources, as in `ms.limits(seconds=600)`.
    """
    return Api(
        url=url,
        records=records,
        key=names(key),
        time=time,
        known=known,
        schema=schema,
        cursor=cursor,
        cursor_param=cursor_param or cursor,
        params=dict(params or {}),
        headers=dict(headers or {}),
        paging=paging,
        limits=limits,
        checks=tuple(checks),
        **meta,
    )


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


def stream(
    name: str,
    *,
    schema: Mapping[str, str],
    time: str,
    key: str | Sequence[str] | None = None,
    known: KnownSpec = None,
    history: NodeRef | None = None,
    changes: bool = False,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Stream:
    """Declare a stream of events posted to `/events/NAME`. `schema` maps fields to Ibis types; `time` names the event
    time.

    With `changes=True` events can be corrected and deleted. Each message is then `{"before": row, "after": row}`, one
    of which may be null. `key` identifies the event. Raises `DefinitionError` for changes without a key.
    """
    if changes and not key:
        raise DefinitionError(
            "`changes=True` requires `key=`",
            where=str(Origin.of_caller()),
            expected="key=…",
            hint="the key identifies an event in all messages about it",
        )
    return Stream(
        name=name,
        schema=dict(schema),
        time=time,
        key=names(key),
        known=known,
        history=history,
        changes=changes,
        checks=tuple(checks),
        **meta,
    )
