"""Arithmetic over a few values is numpy's."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.features.online.few import Vector

FLOATS = st.lists(st.tuples(*[st.floats() | st.sampled_from([0.0, -0.0, 1.0, -3.0])] * 2), min_size=1, max_size=5)
BOTH = [operator.add, operator.sub, operator.mul, operator.truediv]
COMPARED = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


def alike(ours: Vector, theirs: Any) -> bool:
    return np.array_equal(np.array(ours, dtype=float), np.asarray(theirs, dtype=float), equal_nan=True)


@pytest.mark.parametrize("of", [*BOTH, *COMPARED])
@given(pairs=FLOATS)
def test_of_two_vectors_and_of_numbers(of: Callable[[Any, Any], Any], pairs: list[tuple[float, float]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        assert alike(of(Vector(a), Vector(b)), of(np.array(a), np.array(b)))
        assert alike(of(Vector(a), b[0]), of(np.array(a), b[0]))
        assert alike(of(b[0], Vector(a)), of(b[0], np.array(a)))


@pytest.mark.parametrize("power", [-2, -1, 0, 1, 1.5, 2, 3])
@given(a=st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_powers(power: float, a: list[float]) -> None:
    with np.errstate(all="ignore"):
        ours, theirs = np.array(Vector(a) ** power, dtype=float), np.array(a) ** float(power)
    assert np.allclose(ours, theirs, rtol=1e-12, atol=0, equal_nan=True)
    assert repr(Vector([3, -2]) ** 2) == "[9, 4]"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_conditions(pairs: list[tuple[bool, bool]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    assert alike(Vector(a) & Vector(b), np.array(a) & np.array(b))
    assert alike(Vector(a) | Vector(b), np.array(a) | np.array(b))
    assert alike(~Vector(a), ~np.array(a))
    assert alike(-Vector([1, -2]), [-1, 2]) and alike(abs(Vector([1, -2])), [1, 2])
