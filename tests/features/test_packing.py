"""Events as bytes and back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mainstem.features.online.packing import Layout, encode_key

LAYOUT = Layout({"_u": "int64", "a": "float64", "b": "string", "c": "boolean", "d": "string", "e": "int64"})

rows = st.tuples(
    st.integers(-(2**62), 2**62),
    st.one_of(st.none(), st.floats(allow_nan=False)),
    st.one_of(st.none(), st.text(max_size=5)),
    st.sampled_from([None, True, False]),
    st.one_of(st.none(), st.text(max_size=5)),
    st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1)),
)


def columns(given: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: [row[i] for row in given] for i, name in enumerate(LAYOUT.kinds)}


def unpacked(*raws: bytes) -> list[tuple[Any, ...]]:
    events = LAYOUT.unpack(*raws)
    return [tuple(events.value(name, row) for name in LAYOUT.kinds) for row in range(len(events))]


@given(st.lists(rows, max_size=8))
def test_what_is_packed_comes_back(given: list[tuple[Any, ...]]) -> None:
    assert unpacked(LAYOUT.pack(columns(given))) == given


@given(st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=3))
def test_rows_and_the_newest_of_them(keys: list[list[tuple[Any, ...]]]) -> None:
    raws = [LAYOUT.pack(columns(key)) for key in keys]
    events = LAYOUT.unpack(*raws)
    given = [tuple(row[list(LAYOUT.kinds).index(name)] for name in LAYOUT.places) for key in keys for row in key]
    assert [tuple(events.row(index)) for index in range(len(events))] == given
    newest = tuple(LAYOUT.last(raws[-1]))
    assert newest == given[-1] and list(map(type, newest)) == list(map(type, given[-1]))


@given(st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=4))
def test_many_keys_are_packed_as_each_alone(keys: list[list[tuple[Any, ...]]]) -> None:
    together = columns([row for key in keys for row in key])
    bounds = [0]
    for key in keys:
        bounds.append(bounds[-1] + len(key))
    packed = list(LAYOUT.pack_many(together, bounds))
    assert packed == [LAYOUT.pack(columns(key)) for key in keys]
    assert unpacked(*packed) == [row for key in keys for row in key]


plain = st.one_of(st.text(max_size=4), st.integers(-(2**63), 2**63 - 1), st.booleans())


@given(st.lists(plain, min_size=1, max_size=3), st.lists(plain, min_size=1, max_size=3))
def test_keys_never_collide(a: list[Any], b: list[Any]) -> None:
    same = [(type(x), x) for x in a] == [(type(y), y) for y in b]
    assert (encode_key(a) == encode_key(b)) == same


@given(st.lists(plain, min_size=1, max_size=3), st.lists(plain, min_size=1, max_size=3), st.binary(max_size=9))
def test_no_key_is_the_beginning_of_another(a: list[Any], b: list[Any], tail: bytes) -> None:
    """What is appended to a key, the number of a block, cannot make it another's."""
    if encode_key(a) != encode_key(b):
        assert encode_key(a) + tail != encode_key(b)
