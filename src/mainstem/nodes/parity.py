"""The result of comparing logged online reads with the offline query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mainstem.nodes.records import new_id, now


@dataclass(frozen=True)
class FeatureParity:
    """The counts of one feature: equal, different, missing (null only online) and extra (null only offline) reads.

    `causes` counts the unequal reads by cause. `example` is the prediction id of one of them.
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
    """The logged reads of an endpoint on a branch, compared with the offline query. `until` is when the last one was
    logged."""

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
        """Return the lines of `mainstem parity`. Features of one view that differ for the same causes share a line."""
        what = f"{self.reads:,} reads of {self.endpoint} × {len(self.features)} features"
        alike: dict[tuple[str, frozenset[str]], list[FeatureParity]] = {}
        for feature in self.features:
            if feature.mismatches:
                alike.setdefault((feature.name.rpartition("__")[0], frozenset(feature.causes)), []).append(feature)
        worst = sorted(alike.values(), key=lambda features: -sum(f.mismatches for f in features))
        found = [f"{what}: {self.mismatches:,} mismatches", *map(_told, worst[:_SHOWN])]
        if left := worst[_SHOWN:]:
            count, of = sum(f.mismatches for each in left for f in each), sum(map(len, left))
            found.append(f"  and {count:,} mismatches of {of} more features; --json has them all")
        return found


_SHOWN = 12
_NAMED = 6


def _told(features: Sequence[FeatureParity]) -> str:
    """Return the line for features of one prefix that differ for the same causes."""
    reads = sum(f.reads for f in features)
    rates = ", ".join(
        f"{kind} {sum(getattr(f, kind) for f in features) / reads:.2%}"
        for kind in ("equal", "different", "missing", "extra")
    )
    counted: Counter[str] = sum((Counter(f.causes) for f in features), Counter())
    causes = ", ".join(f"{count:,} {cause}" for cause, count in counted.items())
    if len(features) == 1:
        return f"  {features[0].name}: {rates} ({causes}), such as {features[0].example}"
    prefix = features[0].name.rpartition("__")[0]
    names = [f.name.removeprefix(f"{prefix}__") for f in features]
    named = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    what = f"{prefix}__…" if prefix else "on demand"
    return f"  {what}: {len(names)} features, {rates} ({causes}), such as {features[0].example}: {named}"
