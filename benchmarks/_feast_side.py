"""Feast's side of `peers.py`, run by Feast's own Python: orders come in as JSON lines, one answer goes out for each.

Nothing of Mainstem is imported here. Seconds are taken around Feast's public calls alone, in this process; what is said
between the two is not among them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

VIEW, KEY = "latest", "key"
BEGIN = datetime(2000, 1, 1, tzinfo=UTC)


class Side:
    """The orders; `root` has the files, and Feast's registries and stores are made in it."""

    def __init__(self, root: str, features: list[str]) -> None:
        self._root, self._features = Path(root), features
        self._refs = [f"{VIEW}:{name}" for name in features]
        self._stores: dict[str, FeatureStore] = {}

    def declare(self, name: str, offline: str, online: dict[str, Any]) -> None:
        """A store of 20 features of one entity over events.parquet. It keeps its registry in memory for good."""
        registry = {"path": str(self._root / f"{name}.registry"), "cache_ttl_seconds": 0}
        config = RepoConfig(
            project=name, provider="local", registry=registry, offline_store={"type": offline}, online_store=online
        )
        entity = Entity(name=KEY, join_keys=[KEY], value_type=ValueType.INT64)
        source = FileSource(path=str(self._root / "events.parquet"), timestamp_field="happened")
        schema = [Field(name=feature, dtype=Float64) for feature in self._features]
        view = FeatureView(name=VIEW, entities=[entity], schema=schema, source=source)
        self._stores[name] = FeatureStore(config=config)
        self._stores[name].apply([entity, source, view])

    def history(self, name: str, write: str | None = None) -> list[float]:
        """Seconds from the files to an Arrow table of the features of the examples; it is written where asked."""
        began = time.perf_counter()
        examples = pd.read_parquet(self._root / "examples.parquet").rename(columns={"t": "event_timestamp"})
        found = self._stores[name].get_historical_features(entity_df=examples, features=self._refs).to_arrow()
        taken = time.perf_counter() - began
        if write:
            pq.write_table(found.select(["id", *self._features]), self._root / write)
        return [taken]

    def materialise(self, name: str) -> None:
        """Bring the newest values of every key online."""
        self._stores[name].materialize(BEGIN, datetime.now(UTC))

    def precompute(self, name: str) -> int:
        """Make one blob of all the features of each entity; how many there are."""
        store = self._stores[name]
        service = FeatureService(name="all", features=[store.get_feature_view(VIEW)], precompute_online=True)
        store.apply([service])
        return store.precompute_feature_service("all")

    def seconds(self, name: str, batches: list[list[int]], ahead: bool) -> list[float]:
        """Of each read of as many entities as there are keys, to a dictionary of Python's own values."""
        return [self._read(name, keys, ahead)[0] for keys in batches]

    def rows(self, name: str, keys: list[int], ahead: bool) -> list[list[float]]:
        """The features of each key."""
        found = self._read(name, keys, ahead)[1]
        names = [f"{VIEW}__{feature}" for feature in self._features] if ahead else self._features
        return list(map(list, zip(*(found[name] for name in names), strict=True)))

    def _read(self, name: str, keys: list[int], ahead: bool) -> tuple[float, dict[str, list[Any]]]:
        """What was computed ahead is found by its full feature names only."""
        store = self._stores[name]
        features = store.get_feature_service("all", allow_cache=True) if ahead else self._refs
        asked = [{KEY: key} for key in keys]
        began = time.perf_counter()
        found = store.get_online_features(features=features, entity_rows=asked, full_feature_names=ahead).to_dict()
        return time.perf_counter() - began, found


def main(root: str, features: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Feast prints is no answer
    side = Side(root, features.split(","))
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(side, order.pop("do"))(**order)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
