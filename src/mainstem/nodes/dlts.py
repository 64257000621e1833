"""Resources of dlt as sources: what dlt can read is a node."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mainstem.nodes.base import names, refused
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import optional, word
from mainstem.nodes.sources import COLLECTED, TIME, KnownSpec, Source

Write = Literal["append", "merge", "replace"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Dlt(Source):
    """A resource of dlt. With `write="append"` each run adds the rows that the resource gives, with `"merge"` they
    replace those of the same key, and with `"replace"` they are all rows. The state that dlt keeps for the resource
    commits with the rows."""

    resource: Any
    write: Write

    @property
    def merges(self) -> bool:
        """Whether rows replace those of the same key."""
        return self.write == "merge"

    @property
    def repeats(self) -> bool:
        return self.write == "append"

    @property
    def refreshes(self) -> bool:
        return self.write != "replace"


def _resource(name: str, value: Any) -> None:
    """Require a resource of dlt that can be read more than once. dlt is not imported for that."""
    kind = type(value)
    hint = "source.RESOURCE names one resource of a source" if kind.__name__ == "DltSource" else None
    if not any(each.__module__.startswith("dlt.") and each.__name__ == "DltResource" for each in kind.__mro__):
        raise refused(f"`{name}` is not a resource of dlt", value, "a function with @dlt.resource, called or not", hint)
    made = getattr(getattr(value, "_pipe", None), "gen", None)
    if inspect.isgenerator(made) or inspect.isasyncgen(made):
        raise refused(f"`{name}` can be read only once", value, "a resource of a function: each run calls it again")


@declared(resource=_resource, write=optional(word("append", "merge", "replace")), time=TIME, **COLLECTED)
def dlt(
    resource: Any,
    *,
    write: Write | None = None,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Dlt:
    """Declare a resource of dlt: what dlt's sources can read is a node.

    `write` is by default what the resource says: `merge` by its primary key; `append` if it is incremental; else its
    rows replace those that are stored. dlt's incremental state commits with the rows. Its telemetry is off. Raises
    `DefinitionError` for a value that is not a resource, or that can be read only once.
    """
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    said = write or _disposition(resource)
    keys = names(key) or _primary(resource)
    if said == "merge" and not keys:
        raise refused('`write="merge"` requires `key`', None, 'key="id", or a primary_key of the resource')
    return Dlt(
        resource=resource,
        write=said,
        key=keys,
        time=time,
        known=known,
        schema=schema,
        checks=tuple(checks),
        **meta,
    )


def _disposition(resource: Any) -> Write:
    """Return how the rows of a resource are written, by its hints."""
    said = resource.write_disposition
    said = said.get("disposition") if isinstance(said, Mapping) else said
    if callable(said) or said == "skip":
        raise refused(
            "the resource does not say how its rows are written", said, 'write="append", "merge" or "replace"'
        )
    if said in ("merge", "replace"):
        found: Write = said
        return found
    return "append" if resource.incremental is not None else "replace"


def _primary(resource: Any) -> tuple[str, ...]:
    """Return the primary key that a resource has."""
    hints = getattr(resource, "_hints", None) or {}
    key = hints.get("primary_key")
    return () if key is None or callable(key) else names(key)
