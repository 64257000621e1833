"""Sinks: where the rows of a table go after a run has published them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

from mainstem.nodes.base import Node, NodeRef, names, refused
from mainstem.nodes.databases import Database
from mainstem.nodes.declared import META, declared
from mainstem.nodes.files import Files
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.kinds import anything, columns, integer, optional
from mainstem.nodes.places import place
from mainstem.nodes.redaction import redacted
from mainstem.nodes.sources import Source

if TYPE_CHECKING:
    from mainstem.nodes.definition import Graph

DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "sqlite", "duckdb")
"""The schemes of databases that a sink writes to."""

SUFFIXES = ("csv", "tsv", "parquet", "json", "jsonl", "ndjson")
"""The suffixes of files that a sink writes."""

PACKED = (".gz", ".zst")
"""The suffixes of compressed files that a sink writes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sink(Node):
    """The rows of a relation, or the predictions of an endpoint, that a run writes to `to`. Empty `columns` are all."""

    of: NodeRef
    to: Database | Files | Kafka
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    retries: int | None = None

    @property
    def place(self) -> str:
        """The target as messages name it, without secrets."""
        match self.to:
            case Database():
                return f"{self.to.table} of {redacted(self.to.url)}"
            case Files():
                return redacted(self.to.path) if "://" in self.to.path else place_of(self.to.path)
        return f"topic {self.to.topic}"


def place_of(path: str) -> str:
    """Return the path of a target as messages name it."""
    return place(path) if path.startswith("/") else path


def relation_of(graph: Graph, name: str) -> str:
    """Return the stored relation whose rows a sink delivers."""
    from mainstem.nodes.endpoints import Endpoint  # it brings Ibis, which a declaration does without

    of = graph[name].inputs[0]
    return f"predictions.{of}" if isinstance(graph[of].node, Endpoint) else of


def relations_of(graph: Graph, name: str) -> frozenset[str]:
    """Return all stored relations that a sink reads."""
    relation = relation_of(graph, name)
    return frozenset({relation}) | (graph.stored(relation) if relation in graph else frozenset())


_FITS = {
    Database: ("url", "table", "tls", "write"),
    Files: ("path", "format", "storage", "options"),
    Kafka: ("servers", "topic", "settings", "format"),
}
"""The settings of a target that a sink uses. Others are about reading."""


@declared(
    of=anything,
    to=anything,
    key=optional(columns(at_least=1)),
    columns=optional(columns(at_least=1)),
    meta={**META, "retries": optional(integer(0))},
)
def sink(
    of: NodeRef,
    *,
    to: Source,
    key: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    **meta: Any,
) -> Sink:
    """Declare where the rows of a table, a source or a stream go, or the predictions of an endpoint.

    `to` is a target, declared as a source is: `ms.database(url, table="scores")`, `ms.files("s3://bucket/*.csv")` or
    `ms.kafka(servers, topic)`. A run delivers what changed after it has published the release. `key` identifies a row;
    default: the key of the table. `columns` are those to send; default: all. Raises `DefinitionError` for a target that
    cannot be written to.
    """
    if not isinstance(of, (Node, str)) or isinstance(of, Sink):
        raise refused("a sink requires a table", of, "a table, a source, a stream or an endpoint, or the name of one")
    if not isinstance(to, (Database, Files, Kafka)):
        expected = 'to=ms.database(url, table="…"), to=ms.files("….parquet") or to=ms.kafka(servers, topic)'
        raise refused("`to` is not a target", to, expected)
    _check_settings(to)
    match to:
        case Database():
            _check_database(to)
        case Files():
            _check_files(to)
        case Kafka() if to.format != "json":
            raise refused("a sink writes JSON to a topic", to.format, 'format="json"')
    return Sink(of=of, to=to, key=names(key), columns=names(columns), **meta)


def _check_settings(to: Database | Files | Kafka) -> None:
    """Refuse settings of a target that are about reading."""
    kind = next(kind for kind in _FITS if isinstance(to, kind))
    for field in fields(to):
        name, value = field.name, getattr(to, field.name)
        unset = field.default_factory() if field.default_factory is not MISSING else field.default
        if name not in (*_USUAL, *_FITS[kind]) and value not in (unset, ()):
            expected = ", ".join(_FITS[kind])
            raise refused(f"`{name}` of the target is about reading", value, f"only {expected}", _ELSEWHERE.get(name))


_USUAL = ("name", "description", "owner", "origin")
_ELSEWHERE = {
    "key": 'ms.sink(…, key="…")',
    "query": 'table="…" names what is written',
    "checks": "checks= of the table",
}


def _check_database(to: Database) -> None:
    scheme = to.url.partition(":")[0].partition("+")[0]
    if scheme not in DATABASES:
        raise refused("no sink writes to this kind of database", scheme, ", ".join(DATABASES))


def _check_files(to: Files) -> None:
    name = to.path
    for packed in PACKED:
        name = name.removesuffix(packed)
    suffix = name.rsplit(".", 1)[-1].lower()
    if suffix not in SUFFIXES or (suffix == "parquet" and name != to.path):
        raise refused("no sink writes such files", to.path, ", ".join(f".{each}" for each in SUFFIXES))
    *above, last = to.path.split("/")
    if last.count("*") > 1 or any(sign in last for sign in "?[") or any("*" in part for part in above):
        raise refused("the path has more than one `*`", to.path, "one file, or `*` once in the last part of the path")
    if set(to.options) - {"delim"}:
        raise refused("a sink has no such option", sorted(set(to.options) - {"delim"})[0], "delim")
