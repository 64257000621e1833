"""What a lake needs of its Iceberg catalog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import CreateTableTransaction, Table

Name = tuple[str, ...]
"""A table's namespace, and its name in it."""

NAMESPACE = "mainstem"
"""The name of the catalog, and of its namespace of physical tables."""

SHOWN = "main"
"""The namespace of the tables that readers outside Mainstem see."""


class LakeCatalog(Protocol):
    """An Iceberg catalog of PyIceberg, and what differs between the kinds of catalogs."""

    @property
    def name(self) -> str: ...

    def load_table(self, identifier: Name) -> Table: ...

    def table_exists(self, identifier: Name) -> bool: ...

    def list_tables(self, namespace: str) -> list[Name]: ...

    def create_table_transaction(
        self,
        identifier: Name,
        schema: Schema,
        *,
        location: str | None = None,
        partition_spec: PartitionSpec = ...,
        properties: dict[str, Any] = ...,
    ) -> CreateTableTransaction: ...

    def register_table(self, identifier: Name, metadata_location: str) -> Table: ...

    def drop_table(self, identifier: Name) -> None: ...

    def create_namespace(self, namespace: str) -> None: ...

    def close(self) -> None: ...

    def offer(self, places: Mapping[str, str]) -> None:
        """Let each name refer to the metadata file at its place, and drop all other names: `quarantine.legs` is the
        table `legs` in the namespace `main.quarantine`."""

    def offered(self) -> set[str]:
        """Return the places of the metadata files that the names refer to."""

    def proposed(self, where: str, value: str) -> AbstractContextManager[str]:
        """Yield the value that was proposed first for what is new at `where`; other machines may propose theirs
        meanwhile."""


def split(name: str) -> tuple[str, str]:
    """Return the namespace and the name under which readers outside Mainstem find a table."""
    above, _, last = f"{SHOWN}.{name}".rpartition(".")
    return above, last


def parents(namespace: str) -> Iterator[Name]:
    """Yield a namespace and those that it is in, the outermost first."""
    parts = tuple(namespace.split("."))
    for depth in range(1, len(parts) + 1):
        yield parts[:depth]
