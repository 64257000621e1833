"""Levels of a text column that probably mean the same: they differ in case, space, punctuation, or by one letter."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from mainstem.nodes.descriptions import Variants
from mainstem.nodes.statistics import Level

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST = 2_000
"""A column with more levels has no categories."""
SPELLED = 400
"""The most levels whose spelling is compared: every level with every other one."""
SHORTEST = 5
"""The letters that a level needs so that one wrong letter is probably a mistake."""
RARE = 0.1
"""A misspelt level has at most this part of the rows of the right one."""


def variants(levels: pa.Array, rows: np.ndarray[Any, Any]) -> tuple[Variants, ...]:
    """Return groups of levels that probably mean the same, given the distinct texts and the rows of each."""
    if len(levels) > MOST:
        return ()
    groups: dict[str, list[Level]] = defaultdict(list)
    for value, count in sorted(
        zip(levels.to_pylist(), rows.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0])
    ):
        groups[normal(value)].append(Level(value, count))
    alike = [Variants("case or space", tuple(group)) for key, group in groups.items() if key and len(group) > 1]
    return (*alike, *_misspelt([group[0] for key, group in groups.items() if key]))


def normal(text: str) -> str:
    """Return a text without case, outer and repeated white space, and punctuation at its ends."""
    return re.sub(r"[\s_\-]+", " ", text).strip(" .,;:'\"").casefold()


def is_one_edit_away(one: str, other: str) -> bool:
    """Return whether one letter is replaced, missing, added, or swapped with the next one."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, others = one[start:], other[start:]
    swapped = len(rest) > 1 and rest[:2] == others[1::-1] and rest[2:] == others[2:]
    return swapped or rest[1:] == others[1:] or rest[1:] == others or rest == others[1:]


def _misspelt(levels: list[Level]) -> list[Variants]:
    words = [level for level in levels if len(level.value) >= SHORTEST and not re.search(r"[\d_]", level.value)]
    if len(words) > SPELLED:
        return []
    found: dict[str, list[Level]] = {}
    for number, right in enumerate(words):  # the most frequent ones first
        near = [w for w in words[number + 1 :] if w.rows <= RARE * right.rows and _near(right.value, w.value)]
        taken = {level.value for group in found.values() for level in group}
        if fresh := [level for level in near if level.value not in taken]:
            found[right.value] = [right, *fresh]
    return [Variants("spelling", tuple(group)) for group in found.values()]


def _near(right: str, other: str) -> bool:
    return is_one_edit_away(normal(right), normal(other))
