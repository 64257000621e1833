"""A run takes a stream's topic up to the end that it has when the step begins, as the server does all the time.

The events go to the log, and from there to the lake and, by `materialise` steps, into the features. A server may read
the same topic meanwhile: see `mainstem.streaming.topics`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from mainstem.graph.units import MINUTE
from mainstem.logs import reached
from mainstem.nodes.kafka import Kafka
from mainstem.planning.execution import Context
from mainstem.ports import Store
from mainstem.sources.kafka.client import Client
from mainstem.sources.kafka.positions import Positions, spans
from mainstem.sources.kafka.reading import Reader
from mainstem.streaming.ingest import Ingest
from mainstem.streaming.topics import Landing, decoder, taken

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taking:
    """Takes topics for runs of the project at `root`. Events may be later than the clock by `ahead` (µs)."""

    root: Path
    ahead: int = 5 * MINUTE

    def __call__(self, context: Context, name: str, node: Kafka, store: Store, drained: Positions) -> str:
        """Take what is new, and return what the run says of it. `drained` is how far the topic is in the lake.

        Raises `SourceError`, and `StorageError`.
        """
        cutover = context.release.cutovers.get(name)
        ingest = Ingest(context.graph[name], (), store, cutover, ahead=self.ahead)
        if ingest.stream.history is not None and cutover is None:
            return ""  # this run records it
        where, topic, decode = context.graph[name].where, node.topic, decoder(node)
        with Client.open(node, self.root, where) as client:
            cluster, partitions = client.partitions()
            Positions(reached.cluster_of(store, name, topic)).belong_to(cluster, where)
            stored = reached.read(store, name, topic, partitions) or drained.offsets
            bounds = client.bounds(partitions)
            found, lost = spans(node, Positions(cluster, stored), bounds, where)
            landing = Landing(name, topic, cluster)
            with store.transaction() as writer:
                at = landing.begin(writer, found, bounds)
            reader = Reader(client, found)
            for messages in reader.batches():
                ends = dict(reader.offsets)
                new = taken(messages, ingest, node, decode)
                with store.transaction() as writer:
                    landing.write(writer, new, ends, at, ingest.write)
                at = {number: max(end, at.get(number, 0)) for number, end in ends.items()}
        return lost
