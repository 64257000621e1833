"""All that a report tells, before it is written in some form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstem.nodes.evaluations import Evaluation
from mainstem.nodes.records import ModelVersion


@dataclass(frozen=True)
class Read:
    """A relation that the version was trained on: its snapshot, and its rows if a release still has that snapshot."""

    name: str
    snapshot: int
    rows: int | None = None


@dataclass(frozen=True)
class Record:
    """What is known of a model version.

    `card` is what `mainstem show` prints. `declared` is the declaration, in words. `evaluation` is None for a version
    that was trained before evaluations were kept. `limits` are sentences.
    """

    version: ModelVersion
    card: Mapping[str, Any]
    evaluation: Evaluation | None
    declared: Mapping[str, str] = field(default_factory=dict)
    data: tuple[Read, ...] = ()
    limits: tuple[str, ...] = ()
