"""Every kind of source, one module each. `register` adds one. Built-in kinds are registered the same way.

A package adds its own by an entry point in the group `mainstem.sources`. The entry point's name is the declaration's
class in lower case: `ledger = "mainstem_ledger:LedgerKind"` for sources of the class `Ledger`.
"""

from __future__ import annotations

from typing import Any

from mainstem import plugins
from mainstem.errors import SourceError
from mainstem.nodes.sources import Source
from mainstem.sources.kind import SourceKind
from mainstem.sources.kinds.api import ApiKind
from mainstem.sources.kinds.database import DatabaseKind
from mainstem.sources.kinds.dlt import DltKind
from mainstem.sources.kinds.files import FilesKind
from mainstem.sources.kinds.kafka import KafkaKind
from mainstem.sources.kinds.web import WebKind

GROUP = "mainstem.sources"
KINDS: dict[type[Source], SourceKind[Any]] = {}


def register(kind: SourceKind[Any]) -> None:
    """Register `kind` for sources of the type `kind.node_type` and its subclasses."""
    KINDS[kind.node_type] = kind


def kind_of(source: Source) -> SourceKind[Any]:
    """Return the kind of the nearest class that has one. Raises `SourceError`, `PluginError`."""
    for cls in type(source).__mro__:
        if cls not in KINDS and issubclass(cls, Source) and cls is not Source:
            _install(cls)
        if cls in KINDS:
            return KINDS[cls]
    raise SourceError(
        f"no kind of source reads a {type(source).__name__}",
        expected=f"one of {', '.join(sorted(cls.__name__ for cls in KINDS))}",
        hint=f"mainstem.sources.kinds.register(kind), or an entry point in the group {GROUP}",
    )


def _install(cls: type[Source]) -> None:
    """Register the kind that an installed package offers for a class, if one does."""
    offered = plugins.load(GROUP, cls.__name__.lower(), _IS_KIND)
    if offered is not None and offered.node_type is cls:
        register(offered)


_IS_KIND = plugins.having("node_type", "extract", "introspect", "identity", "observe", "settled")

register(FilesKind())
register(DatabaseKind())
register(ApiKind())
register(WebKind())
register(KafkaKind())
register(DltKind())
