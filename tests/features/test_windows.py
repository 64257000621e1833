"""Windows begin on a step of their resolution, counted from 1970 in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import DefinitionError
from mainstem.features.windows import Window, default_resolution, floor
from mainstem.graph.units import DAY, HOUR, MINUTE, SECOND


@given(st.integers(-(2**61), 2**61), st.integers(1, 2**40))
def test_floor_is_toward_minus_infinity(t: int, step: int) -> None:
    assert floor(t, step) == t // step * step


@pytest.mark.parametrize(
    ("size", "resolution"),
    [
        (30 * DAY, DAY),
        (13 * DAY, DAY),
        (12 * DAY, HOUR),
        (13 * HOUR, HOUR),
        (12 * HOUR, 5 * MINUTE),
        (3 * HOUR, 5 * MINUTE),
        (HOUR, MINUTE),
        (90 * SECOND, SECOND),
        (61 * MINUTE, MINUTE),
        (30 * DAY + HOUR, HOUR),
        (1_500_000, 1),
    ],
)
def test_the_default_resolution(size: int, resolution: int) -> None:
    assert default_resolution(size) == resolution


def test_a_window_starts_on_a_step() -> None:
    window = Window.parse("3h")
    assert window.start(-1) == -5 * MINUTE - 3 * HOUR
    assert window.start(7 * MINUTE) == 5 * MINUTE - 3 * HOUR
    assert window.reach == 3 * HOUR + 5 * MINUTE


@given(st.sampled_from(["1min", "1h", "3h", "13d"]), st.integers(-(2**55), 2**55))
def test_a_window_is_never_shorter_than_its_size_and_shorter_than_its_reach(text: str, t: int) -> None:
    window = Window.parse(text)
    assert window.size <= t - window.start(t) < window.reach


def test_a_resolution_of_zero_is_exact() -> None:
    assert Window.parse("1h", "0s").start(HOUR + 1) == 1


@pytest.mark.parametrize(("text", "resolution"), [("0s", None), ("1h", "7min"), ("an hour", None)])
def test_what_is_no_window(text: str, resolution: str | None) -> None:
    with pytest.raises(DefinitionError):
        Window.parse(text, resolution)
