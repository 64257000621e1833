from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from mainstem.pages.layout import HEIGHT, WIDTH, draw


@st.composite
def graphs(draw_: st.DrawFn) -> dict[str, list[str]]:
    names = [f"n{i}" for i in range(draw_(st.integers(0, 12)))]
    return {name: sorted(draw_(st.sets(st.sampled_from(names[:i])))) if i else [] for i, name in enumerate(names)}


@given(graphs())
def test_inputs_stand_left_of_what_reads_them_and_no_boxes_overlap(needs: dict[str, list[str]]) -> None:
    drawing = draw(needs)
    assert set(drawing.nodes) == set(needs)
    assert set(drawing.edges) == {(source, node) for node, sources in needs.items() for source in sources}
    for source, node in drawing.edges:
        assert drawing.nodes[source][0] + WIDTH < drawing.nodes[node][0]
    for (x1, y1), (x2, y2) in combinations(drawing.nodes.values(), 2):
        assert abs(x1 - x2) >= WIDTH or abs(y1 - y2) >= HEIGHT
    for x, y in drawing.nodes.values():
        assert 0 <= x <= drawing.width - WIDTH and 0 <= y <= drawing.height - HEIGHT


def test_a_chain_is_a_straight_line() -> None:
    drawing = draw({"a": [], "b": ["a"], "c": ["b"]})
    places = [drawing.nodes[name] for name in "abc"]
    assert all(left[1] == right[1] for left, right in pairwise(places))


def test_edges_do_not_cross_where_they_need_not() -> None:
    drawing = draw({"a": [], "b": [], "c": ["b"], "d": ["a"]})
    up = drawing.nodes["a"][1] < drawing.nodes["b"][1]
    assert (drawing.nodes["d"][1] < drawing.nodes["c"][1]) == up
