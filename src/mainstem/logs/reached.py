"""How far a stream's topic was taken: the next offset of each partition, in the online store beside the events.

The offsets are written in the transaction that takes the messages. So a message counts once, whatever ends in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mainstem.ports import OnlineStore, Writer

_CLUSTER = b"cluster"


def space_of(stream: str, topic: str) -> str:
    """Return the space with the offsets of a topic."""
    return f"topic/{stream}/{topic}"


def cluster_of(store: OnlineStore, stream: str, topic: str) -> str | None:
    """Return the id of the cluster that the offsets belong to."""
    (found,) = store.read(space_of(stream, topic), [_CLUSTER])
    return None if found is None else found.decode()


def read(store: OnlineStore, stream: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return the next offset of each partition that has one."""
    numbers = list(partitions)
    return _parsed(numbers, store.read(space_of(stream, topic), [_key(number) for number in numbers]))


def get(writer: Writer, stream: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Return the next offset of each partition that has one, as a transaction sees it."""
    numbers = list(partitions)
    return _parsed(numbers, writer.get_many(space_of(stream, topic), [_key(number) for number in numbers]))


def put(writer: Writer, stream: str, topic: str, cluster: str | None, offsets: Mapping[int, int]) -> None:
    """Write the next offset of partitions."""
    space = space_of(stream, topic)
    writer.put_many(space, {_key(number): str(at).encode() for number, at in offsets.items()})
    if cluster is not None:
        writer.put(space, _CLUSTER, cluster.encode())


def _key(partition: int) -> bytes:
    return b"p" + partition.to_bytes(4, "big")


def _parsed(numbers: list[int], values: list[bytes | None]) -> dict[int, int]:
    return {number: int(value) for number, value in zip(numbers, values, strict=True) if value is not None}
