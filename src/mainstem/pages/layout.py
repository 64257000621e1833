"""The layout of a graph: layered from left to right, as by Sugiyama, Tagawa and Toda (1981).

Layers are longest paths from the sources. An edge that skips a layer gets a bend in it. Within a layer, nodes are
ordered by the mean place of their neighbours, in a few passes back and forth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

WIDTH, HEIGHT = 172, 46
GAP_X, GAP_Y = 52, 22
MARGIN = 12
SWEEPS = 8

Slot: TypeAlias = str | tuple[str, str, int]
"""A node, or the bend of the edge (from, to) in a layer."""


@dataclass(frozen=True)
class Drawing:
    """Upper left corners of nodes, paths of edges (SVG), and the total size, in pixels."""

    nodes: Mapping[str, tuple[float, float]]
    edges: Mapping[tuple[str, str], str]
    width: float
    height: float


def draw(needs: Mapping[str, Sequence[str]]) -> Drawing:
    """Lay out a directed acyclic graph, given the inputs of each node."""
    depth = _depths(needs)
    edges = [(source, node) for node, sources in needs.items() for source in sources if source in needs]
    chains = {edge: _chain(edge, depth) for edge in edges}
    layers: list[list[Slot]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for node in needs:
        layers[depth[node]].append(node)
    for source, node in edges:
        for layer in range(depth[source] + 1, depth[node]):
            layers[layer].append((source, node, layer))
    links = [link for chain in chains.values() for link in pairwise(chain)]
    place = _places(_ordered(layers, links))
    points = {slot: (MARGIN + layer * (WIDTH + GAP_X), y) for slot, (layer, y) in place.items()}
    nodes = {slot: at for slot, at in points.items() if isinstance(slot, str)}
    width = max((x for x, _ in points.values()), default=0) + WIDTH + MARGIN
    height = max((y + _height(slot) for slot, (_, y) in points.items()), default=0) + MARGIN
    return Drawing(nodes, {edge: _path([points[s] for s in chain]) for edge, chain in chains.items()}, width, height)


def _depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    depth: dict[str, int] = {}

    def visit(node: str) -> int:
        if node not in depth:
            depth[node] = 1 + max((visit(source) for source in needs[node] if source in needs), default=-1)
        return depth[node]

    for node in needs:
        visit(node)
    return depth


def _chain(edge: tuple[str, str], depth: Mapping[str, int]) -> list[Slot]:
    source, node = edge
    bends = range(depth[source] + 1, depth[node])
    return [source, *((source, node, layer) for layer in bends), node]


def _ordered(layers: list[list[Slot]], links: Sequence[tuple[Slot, Slot]]) -> list[list[Slot]]:
    before: dict[Slot, list[Slot]] = {}
    after: dict[Slot, list[Slot]] = {}
    for left, right in links:
        after.setdefault(left, []).append(right)
        before.setdefault(right, []).append(left)
    for sweep in range(SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        rank = {slot: i - len(layer) / 2 for layer in layers for i, slot in enumerate(layer)}
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            near = {s: [rank[n] for n in neighbours.get(s, ())] or [rank[s]] for s in layer}
            layer.sort(key=lambda slot, near=near: sum(near[slot]) / len(near[slot]))  # type: ignore[misc]
            rank |= {slot: i - len(layer) / 2 for i, slot in enumerate(layer)}
    return layers


def _places(layers: Sequence[Sequence[Slot]]) -> dict[Slot, tuple[int, float]]:
    """Return layer and y of each slot. Layers are centred."""
    heights = [sum(_height(slot) + GAP_Y for slot in layer) - GAP_Y for layer in layers]
    tallest = max(heights, default=0)
    place: dict[Slot, tuple[int, float]] = {}
    for number, (layer, height) in enumerate(zip(layers, heights, strict=True)):
        y = MARGIN + (tallest - height) / 2
        for slot in layer:
            place[slot] = (number, y)
            y += _height(slot) + GAP_Y
    return place


def _height(slot: Slot) -> float:
    return HEIGHT if isinstance(slot, str) else 0.0


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path from the right edge of the first node, through the bends, to the left edge of the last."""
    last = len(points) - 1
    stops = [(x + WIDTH, y + HEIGHT / 2) for x, y in points[:1]]
    for x, y in points[1:last]:
        stops += [(x, y), (x + WIDTH, y)]
    stops += [(x, y + HEIGHT / 2) for x, y in points[last:]]
    path = f"M{stops[0][0]:g},{stops[0][1]:g}"
    for i in range(1, len(stops)):
        (x0, y0), (x1, y1) = stops[i - 1], stops[i]
        middle = (x0 + x1) / 2
        path += f" C{middle:g},{y0:g} {middle:g},{y1:g} {x1:g},{y1:g}" if i % 2 else f" H{x1:g}"
    return path
