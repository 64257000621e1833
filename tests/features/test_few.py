"""Arithmetic over a few values is numpy's."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ibis import _

from mainstem.features.online import few
from mainstem.features.online.few import Vector
from mainstem.features.online.packing import Layout
from mainstem.features.online.sight import Sight, windowed_at
from mainstem.nodes import reductions as ms
from mainstem.testing.features import example_view

FLOATS = st.lists(st.tuples(*[st.floats() | st.sampled_from([0.0, -0.0, 1.0, -3.0])] * 2), min_size=1, max_size=5)
SELDOM = [operator.mod, operator.floordiv]
BOTH = [operator.add, operator.sub, operator.mul, operator.truediv]
COMPARED = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


def alike(ours: Vector, theirs: Any) -> bool:
    return np.array_equal(np.array(ours.items, dtype=float), np.asarray(theirs, dtype=float), equal_nan=True)


@pytest.mark.parametrize("of", [*BOTH, *COMPARED, *SELDOM])
@given(pairs=FLOATS)
def test_of_two_vectors_and_of_numbers(of: Callable[[Any, Any], Any], pairs: list[tuple[float, float]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        assert alike(of(Vector(a), Vector(b)), of(np.array(a), np.array(b)))
        assert alike(of(Vector(a), b[0]), of(np.array(a), b[0]))
        assert alike(of(b[0], Vector(a)), of(b[0], np.array(a)))
        assert alike(of(np.float64(b[0]), Vector(a)), of(b[0], np.array(a)))


@pytest.mark.parametrize("power", [-2, -1, 0, 1, 1.5, 2, 3])
@given(a=st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_powers(power: float, a: list[float]) -> None:
    with np.errstate(all="ignore"):
        ours, theirs = np.array((Vector(a) ** power).items, dtype=float), np.array(a) ** float(power)
    assert np.allclose(ours, theirs, rtol=1e-12, atol=0, equal_nan=True)
    assert repr((Vector([3, -2]) ** 2).items) == "[9, 4]"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_conditions(pairs: list[tuple[bool, bool]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    assert alike(Vector(a) & Vector(b), np.array(a) & np.array(b))
    assert alike(Vector(a) | Vector(b), np.array(a) | np.array(b))
    assert alike(~Vector(a), ~np.array(a))
    assert alike(Vector(a) ^ Vector(b), np.array(a) ^ np.array(b))
    assert alike(-Vector([1, -2]), [-1, 2]) and alike(abs(Vector([1, -2])), [1, 2]) and alike(~Vector([3]), [-4])


def test_what_a_list_would_do_otherwise() -> None:
    values = same = Vector([3, -4])
    values += Vector([1, 1])
    assert (values.items, same.items) == ([4, -3], [3, -4])
    assert ("p" + Vector(["a"])).items == ["pa"]
    with pytest.raises(TypeError, match="no truth value"):
        max(same, values)


WHOLE = example_view(
    windows=["1h"],
    total=_.whole.sum(),
    mean=_.whole.mean(),
    bins=ms.histogram(_.whole, [2.0**53 + 4]),
    all=_.flag.all(),
)


@pytest.mark.parametrize("most", [0, 1_000])
@pytest.mark.parametrize(
    ("whole", "wanted"),
    [
        ([2**62] * 3, {"total_1h": None, "mean_1h": float(2**62)}),
        ([2**62, 2**62, -(2**62)], {"total_1h": 2**62}),
        ([2**53 + 3, 2**53 + 5], {"bins_1h": [1, 1]}),
        ([1, 2], {"total_1h": 3, "all_1h": True}),
    ],
)
def test_large_integers(most: int, whole: list[int], wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "FEW", most)
    layout, order = Layout.of(WHOLE), list(range(len(whole)))
    arguments = {name: [1] * len(whole) if kind == "boolean" else whole for name, kind in WHOLE.arguments.items()}
    columns = {"_u": order, "_arrived": order, "_seq": order, **arguments}
    sight = Sight(layout.unpack(layout.pack(columns)))
    found, _newest = windowed_at(WHOLE, dict.fromkeys(WHOLE.windows, sight), 10)
    assert {name: found[name] for name in wanted} == wanted
