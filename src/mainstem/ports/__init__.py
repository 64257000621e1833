"""The ports: the protocols that the core uses to reach the outside, and the plain records that they exchange.

    Engine        computes: relations in, Parquet files or Arrow out
    Lake          keeps immutable snapshots of stored tables
    State         keeps records (runs, releases, findings) and moves branch heads by compare-and-swap
    OnlineStore   keeps bytes per key, read in microseconds or one round trip
    EventLog      keeps what was acknowledged; shares its transaction with the online store

Adapters live in engines/, lake/, state/ and stores/; every adapter passes the contract suite of its port in
`mainstem.testing`.
"""

from mainstem.ports.engines import Boosting, Distributed, Divisible, Engine, Feed, Relation, Session
from mainstem.ports.lakes import (
    Append,
    Artifacts,
    Change,
    Damage,
    Delete,
    Lake,
    ReplaceAll,
    ReplaceFiles,
    ReplaceInterval,
    Sweep,
    Upsert,
    Verification,
)
from mainstem.ports.states import R, Record, State
from mainstem.ports.stores import BranchStore, EventLog, OnlineStore, Sizes, Store, Writer
from mainstem.ports.tables import DataFile, Field, Interval, Partition, RawFiles, Scan, Snapshot, Target

__all__ = [
    "Append",
    "Artifacts",
    "Boosting",
    "BranchStore",
    "Change",
    "Damage",
    "DataFile",
    "Delete",
    "Distributed",
    "Divisible",
    "Engine",
    "EventLog",
    "Feed",
    "Field",
    "Interval",
    "Lake",
    "OnlineStore",
    "Partition",
    "R",
    "RawFiles",
    "Record",
    "Relation",
    "ReplaceAll",
    "ReplaceFiles",
    "ReplaceInterval",
    "Scan",
    "Session",
    "Sizes",
    "Snapshot",
    "State",
    "Store",
    "Sweep",
    "Target",
    "Upsert",
    "Verification",
    "Writer",
]
