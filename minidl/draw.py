"""A tape as a picture: SVG, or text for Mermaid. Nodes may be coloured by a signal of any of the three passes."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from .backend import to_numpy
from .layering import arrange
from .tape import Tensor, raw, topological

LIMIT = 40  # nodes beyond which a picture shows nothing
POSITIVE, NEGATIVE = (230, 97, 1), (94, 60, 153)  # orange and purple: distinct in common colour blindness
PLAIN, LINE = "#ffffff", "#555555"
FONT, LETTER, ROW, PAD, GAP, RISE = 12, 7.0, 15, 8, 24, 34  # pixels


class Graph(NamedTuple):
    """The tensors above y by number, inputs first: lines of text, (input, node) for each use, sums of the signal."""

    labels: list[list[str]]
    leaves: list[bool]
    edges: list[tuple[int, int]]
    sums: dict[int, float]


def graph_of(y: Tensor, signal: Mapping[Tensor, Any] | None, caller: str) -> Graph:
    """What there is to draw. Raises TypeError if y is no Tensor, ValueError beyond LIMIT nodes."""
    if not isinstance(y, Tensor):
        raise TypeError(f"{caller}: y must be a Tensor, got {type(y).__name__}")
    nodes = topological(y, lambda n: n.inputs)[::-1]
    if len(nodes) > LIMIT:
        raise ValueError(
            f"{caller}: the tape has {len(nodes)} nodes, and a picture of more than {LIMIT} shows nothing; draw "
            "a part, from an inner node or of a smaller model"
        )
    number = {n: k for k, n in enumerate(nodes)}
    sums = {number[n]: float(to_numpy(raw(s)).sum()) for n, s in (signal or {}).items() if n in number}
    labels = [[repr(n.op) if n.op else "leaf", str(n.shape)] for n in nodes]
    for k, n in enumerate(nodes):
        labels[k] += [str(n.layer)] if n.layer is not None and str(n.layer) else []
        labels[k] += [f"{sums[k]:.3g}"] if k in sums else []
    edges = [(number[i], k) for k, n in enumerate(nodes) for i in n.inputs if isinstance(i, Tensor)]
    return Graph(labels, [n.op is None for n in nodes], edges, sums)


def colour(value: float, largest: float) -> tuple[str, str]:
    """Fill and text colour: white at 0, orange above, purple below, full at `largest`."""
    share = min(abs(value) / largest, 1.0) if largest else 0.0
    end = POSITIVE if value > 0 else NEGATIVE
    fill = [round(255 + (c - 255) * share) for c in end]
    light = (0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2]) > 120
    return "#{:02x}{:02x}{:02x}".format(*fill), "#000000" if light else "#ffffff"


def _colours(graph: Graph) -> list[tuple[str, str]]:
    largest = max(map(abs, graph.sums.values()), default=0.0)
    return [colour(graph.sums.get(k, 0.0), largest) for k in range(len(graph.labels))]


def to_mermaid(y: Tensor, signal: Mapping[Tensor, Any] | None = None) -> str:
    """The tape of y as Mermaid text, which many editors and web sites draw: inputs at the top, y at the bottom.

    signal: {tensor: array}, for example what a walk brought to each; nodes are coloured by its sum, zero is white.
    Raises ValueError for more than LIMIT nodes.
    """
    graph = graph_of(y, signal, "to_mermaid")
    lines = ["flowchart TD"]
    for k, label in enumerate(graph.labels):
        left, right = ("([", "])") if graph.leaves[k] else ("[", "]")
        lines.append(f'    n{k}{left}"{"<br/>".join(map(_mermaid, label))}"{right}')
    lines += [f"    n{a} --> n{b}" for a, b in graph.edges]
    if graph.sums:
        lines += [f"    style n{k} fill:{fill},color:{ink}" for k, (fill, ink) in enumerate(_colours(graph))]
    return "\n".join(lines) + "\n"


def _mermaid(text: str) -> str:
    """Mermaid writes characters that mean something to it as #name; or #number;."""
    return "".join(c if c.isalnum() or c in " .,()_-+=/:" else f"#{ord(c)};" for c in text)


def to_svg(y: Tensor, signal: Mapping[Tensor, Any] | None = None) -> str:
    """The tape of y as an SVG picture: inputs at the top, y at the bottom; leaves have round corners.

    signal: {tensor: array}, for example what a walk brought to each; nodes are coloured by its sum (printed as their
    last line), orange above zero, purple below, white at zero. Raises ValueError for more than LIMIT nodes.
    """
    graph = graph_of(y, signal, "to_svg")
    widths = [max(map(len, label)) * LETTER + 2 * PAD for label in graph.labels]
    heights = [len(label) * ROW + PAD for label in graph.labels]
    layout = arrange(graph.edges, widths, GAP)
    levels = 1 + max(level for _, level in layout.centres)
    tall = [max(h for h, (_, level) in zip(heights, layout.centres) if level == k) for k in range(levels)]
    middle = [PAD + sum(tall[:k]) + k * RISE + tall[k] / 2 for k in range(levels)]

    def at(x: float, level: int) -> tuple[float, float]:
        return x + PAD, middle[level]

    places = [at(*centre) for centre in layout.centres]
    parts = []
    for k, (a, b) in enumerate(graph.edges):
        (ax, ay), (bx, by) = places[a], places[b]
        way = [(ax, ay + heights[a] / 2)]
        for x, level in layout.bends[k]:  # straight past the boxes of a layer, bent between layers
            (px, py), half = at(x, level), tall[level] / 2
            way += [(px, py - half), (px, py + half)]
        way.append((bx, by - heights[b] / 2 - 5))
        parts.append(f'<path d="{_curve(way)}" fill="none" stroke="{LINE}" marker-end="url(#minidl-arrow)"/>')
    for box in zip(graph.labels, places, widths, heights, _colours(graph), graph.leaves):
        parts.append(_box(*box))
    size = layout.width + 2 * PAD, middle[-1] + tall[-1] / 2 + PAD
    return _page(size, parts)


def _curve(way: list[tuple[float, float]]) -> str:
    """A path through the points, upright at each."""
    d = f"M{way[0][0]:.1f},{way[0][1]:.1f}"
    for (ax, ay), (bx, by) in zip(way, way[1:], strict=False):
        half = (ay + by) / 2
        d += f" C{ax:.1f},{half:.1f} {bx:.1f},{half:.1f} {bx:.1f},{by:.1f}"
    return d


def _box(lines, place, width, height, colours, leaf) -> str:
    (x, y), (fill, ink) = place, colours
    top = y - (len(lines) - 1) * ROW / 2
    text = "".join(
        f'<text x="{x:.1f}" y="{top + k * ROW:.1f}"{" font-weight=" + chr(34) + "bold" + chr(34) if k == 0 else ""}>'
        f"{escape(line)}</text>"
        for k, line in enumerate(lines)
    )
    radius = 12 if leaf else 2
    return (
        f'<g fill="{ink}"><rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="{radius:.1f}" fill="{fill}" stroke="{LINE}"/>{text}</g>'
    )


def _page(size: tuple[float, float], parts: list[str]) -> str:
    width, height = size
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" font-family="monospace" font-size="{FONT}" text-anchor="middle" '
        'dominant-baseline="central">'
        '<defs><marker id="minidl-arrow" markerWidth="7" markerHeight="6" refX="1" refY="3" orient="auto">'
        f'<path d="M0,0 L7,3 L0,6 Z" fill="{LINE}"/></marker></defs>'
        f'<rect width="100%" height="100%" fill="{PLAIN}"/>{"".join(parts)}</svg>'
    )
