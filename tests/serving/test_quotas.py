"""Counts of quotas: each window has a place, until a later window takes it."""

from __future__ import annotations

from mainstem.nodes.decisions import Quota
from mainstem.serving.decisions.quotas import KEPT, Counts

MINUTE = 60_000_000


def test_a_late_decision_does_not_take_the_place_of_a_later_window() -> None:
    stored = dict[bytes, bytes]()

    def counts() -> Counts:
        return Counts("till", {"call": Quota(2, MINUTE)}, lambda space, keys: [stored.get(key) for key in keys])

    now = 5_000 * MINUTE
    first = counts()
    first.take("call", now)
    stored |= first.changed
    late = counts()
    assert late.at(now - KEPT * MINUTE) == {"call": 2}, "a window without a place is exhausted"
    late.take("call", now - KEPT * MINUTE)
    assert late.changed == {} and late.at(now) == {"call": 1}
    late.take("call", now)
    assert late.at(now) == {"call": 2}
