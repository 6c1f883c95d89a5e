"""Places for the nodes of a graph, layer by layer, without a program for it (Sugiyama's method in small).

Nodes lie in the layer after the last of their inputs; an edge that skips layers gets a bend in each of them; nodes of
a layer are ordered by where their neighbours are, then moved towards them as far as their own widths allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SWEEPS = 8


class Layout(NamedTuple):
    """centres: (x, layer) of each node, x in the unit of the widths. bends: those of each edge, from above."""

    centres: list[tuple[float, int]]
    bends: list[list[tuple[float, int]]]
    width: float


def arrange(edges: Sequence[tuple[int, int]], widths: Sequence[float], gap: float) -> Layout:
    """Layers and places for nodes 0, 1, ... of these widths, at least `gap` apart.

    edges: (input, node), one for each use; a node's inputs have smaller numbers than itself.
    """
    nodes = range(len(widths))
    inputs: dict = {n: [] for n in nodes}
    for a, b in edges:
        inputs[b].append(a)
    layer: dict = {}
    for n in nodes:
        layer[n] = max((layer[i] + 1 for i in inputs[n]), default=0)
    for n in reversed(nodes):  # a leaf stands right above its first consumer
        if not inputs[n]:
            layer[n] = min((layer[b] - 1 for a, b in edges if a == n), default=0)
    rows: list[list] = [[] for _ in range(max(layer.values()) + 1)]
    for n in nodes:
        rows[layer[n]].append(n)
    width: dict = dict(enumerate(widths))
    above: dict = {n: [] for n in nodes}
    below: dict = {n: [] for n in nodes}
    chains = []
    for k, (a, b) in enumerate(edges):
        chain = [a, *((k, level) for level in range(layer[a] + 1, layer[b])), b]
        for bend in chain[1:-1]:
            rows[bend[1]].append(bend)
            width[bend], above[bend], below[bend] = 0.0, [], []
        for upper, lower in zip(chain, chain[1:], strict=False):
            below[upper].append(lower)
            above[lower].append(upper)
        chains.append(chain)
    x = _place(rows, above, below, width, gap)
    level = {n: depth for depth, row in enumerate(rows) for n in row}
    left = min(x[n] - width[n] / 2 for n in x)
    right = max(x[n] + width[n] / 2 for n in x)
    point = {n: (x[n] - left, level[n]) for n in x}
    return Layout([point[n] for n in nodes], [[point[b] for b in chain[1:-1]] for chain in chains], right - left)


def _place(rows: list[list], above: dict, below: dict, width: dict, gap: float) -> dict:
    """The centre of every node and bend: sweeps down and up, each row ordered and moved to its neighbours' mean."""
    x: dict = {}
    for row in rows:
        _spread(row, {n: float(k) for k, n in enumerate(row)}, width, gap, x)
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for row in rows if down else reversed(rows):
            wish = {n: _mean([x[m] for m in neighbours[n]], x[n]) for n in row}
            if sweep < SWEEPS:
                row.sort(key=wish.__getitem__)
            _spread(row, wish, width, gap, x)
    return x


def _mean(values: list[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _spread(row: list, wish: dict, width: dict, gap: float, x: dict) -> None:
    """Centres as near to the wishes as order and gaps allow: runs of nodes that would collide stand at their mean."""
    runs: list[list] = []  # [sum of (wish - offset), nodes, offsets]
    for n in row:
        run = [wish[n], [n], [0.0]]
        while runs and _end(runs[-1], width) + gap > run[0] / len(run[1]) - width[run[1][0]] / 2:
            before = runs.pop()
            shift = before[2][-1] + width[before[1][-1]] / 2 + gap + width[run[1][0]] / 2
            run = [
                before[0] + run[0] - shift * len(run[1]),
                before[1] + run[1],
                before[2] + [shift + o for o in run[2]],
            ]
        runs.append(run)
    for total, nodes, offsets in runs:
        start = total / len(nodes)
        for n, offset in zip(nodes, offsets, strict=True):
            x[n] = start + offset


def _end(run: list, width: dict) -> float:
    return run[0] / len(run[1]) + run[2][-1] + width[run[1][-1]] / 2
