"""What comparing logged online reads with the offline query found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mainstem.nodes.records import new_id, now


@dataclass(frozen=True)
class FeatureParity:
    """One feature: how many reads were equal, different, missing (null only when served) or extra (null only offline).

    `causes` counts the unequal ones by cause; `example` is the prediction id of one of them.
    """

    name: str
    reads: int
    equal: int
    different: int = 0
    missing: int = 0
    extra: int = 0
    causes: Mapping[str, int] = field(default_factory=dict)
    example: str | None = None

    @property
    def mismatches(self) -> int:
        return self.reads - self.equal


@dataclass(frozen=True)
class ParityReport:
    """The logged reads of an endpoint on a branch, recomputed. `until` is when the last of them was logged."""

    endpoint: str
    branch: str
    release: str
    reads: int
    features: tuple[FeatureParity, ...]
    until: datetime | None = None
    id: str = field(default_factory=lambda: new_id("parity"))
    at: datetime = field(default_factory=now)

    @property
    def mismatches(self) -> int:
        return sum(feature.mismatches for feature in self.features)

    @property
    def ok(self) -> bool:
        return self.mismatches == 0

    def lines(self) -> list[str]:
        """What `mainstem parity` prints."""
        found = [f"{self.reads:,} reads × {len(self.features)} features: {self.mismatches:,} mismatches"]
        for f in self.features:
            if f.mismatches:
                rates = (("equal", f.equal), ("different", f.different), ("missing", f.missing), ("extra", f.extra))
                told = ", ".join(f"{kind} {count / f.reads:.2%}" for kind, count in rates)
                causes = ", ".join(f"{count:,} {cause}" for cause, count in f.causes.items())
                found.append(f"  {f.name}: {told} ({causes}), such as {f.example}")
        return found
