"""Exploration: the last place of a choice is given at random, with a known probability. The seed is the answer's id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from mainstem.nodes.exploring import Epsilon


@dataclass(frozen=True)
class Explored:
    """The candidate that got the place, with the probability that this candidate got it; whether it is not the best."""

    number: int
    propensity: float
    explored: bool


def explore(rule: Epsilon, best: int, eligible: Sequence[int], id: str) -> Explored:
    """Give a place to the `best` candidate, or, in a share of ids, to one of `eligible` with equal chances.

    `eligible` includes the best one.
    """
    first, second = draws(id)
    taken = eligible[int(second * len(eligible))] if first < rule.share else best
    chance = rule.share / len(eligible)
    return Explored(taken, chance + (1 - rule.share if taken == best else 0.0), taken != best)


def draws(id: str) -> tuple[float, float]:
    """Return two numbers from 0 to 1, without 1, that follow from an id."""
    raw = sha256(id.encode()).digest()
    return int.from_bytes(raw[:6]) / 2**48, int.from_bytes(raw[6:12]) / 2**48
