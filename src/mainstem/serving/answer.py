"""One answer to a request, and the ids of answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import urandom
from typing import Any

from mainstem.logs.records import CHAMPION, Role
from mainstem.nodes.latencies import LATE


@dataclass(frozen=True)
class Answer:
    """One prediction. `time` is the prediction time (µs).

    `score` is P(true), a value, the probability of `label`, or the median. `scores` are the probabilities of all
    classes, or all quantiles. `row` is logged: the request and every feature, with instants in µs.
    `features` are shown: instants are ISO 8601. `policy` is the version of the policy that decided, `values` the value
    of each of its options, `quotas` how often each limited option was taken before. `version` is the id of the version
    that scored, and `role` its role.
    """

    id: str
    time: int
    score: float | None
    decision: bool | str | None
    label: str | None
    features: Mapping[str, Any]
    row: Mapping[str, Any]
    observed: tuple[str, ...]
    scores: Mapping[str, float] = field(default_factory=dict)
    policy: str | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)
    quotas: Mapping[str, int] = field(default_factory=dict)
    noted: tuple[str, ...] = ()
    version: str = ""
    role: Role = CHAMPION

    @property
    def flags(self) -> tuple[str, ...]:
        """What is unusual: `observed` when features were read, and `noted` when the policy decided."""
        return (*self.observed, *self.noted)

    @property
    def late(self) -> bool:
        """Whether the declared answer was given, because the latency passed: without features and a score."""
        return LATE in self.observed


def new_ids(count: int) -> list[str]:
    """Return random UUIDs (version 4) as 32 hexadecimal digits. The system is asked once for all: for one it takes as
    long as for a hundred."""
    digits = urandom(16 * count).hex()
    return [
        f"{digits[n : n + 12]}4{digits[n + 13 : n + 16]}{'89ab'[int(digits[n + 16], 16) & 3]}{digits[n + 17 : n + 32]}"
        for n in range(0, 32 * count, 32)
    ]
