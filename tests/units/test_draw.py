"""Pictures of a tape: every node once, none on another, coloured by a signal, text that can be compared."""

import re
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.standin import standin

from minidl import Tensor, draw, ops
from minidl.layering import arrange
from minidl.tape import Scope, scope, topological

SVG = "{http://www.w3.org/2000/svg}"


class Dense:
    pass


def small():
    """A leaf, a layer, and a sum of two ways: seven nodes."""
    x, W, b = Tensor(np.ones((1, 2))), Tensor(np.ones((2, 2))), Tensor(np.ones(2))
    with scope(Scope('body["0"] <&>', Dense())):
        h = ops.affine(x, W, b)
    a = ops.relu(h)
    return x, a, a * h + a


def boxes(svg):
    """The lines of each node's text, and its box (left, top, right, bottom)."""
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        r = group.find(f"{SVG}rect")
        x, y, w, h = (float(r.get(k)) for k in ("x", "y", "width", "height"))
        yield [t.text for t in group.iter(f"{SVG}text")], (x, y, x + w, y + h), r.get("fill")


def edges(svg):
    return [p for p in ET.fromstring(svg).iter(f"{SVG}path") if p.get("marker-end")]


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_every_node_stands_in_the_picture_once_and_every_use_of_an_input_is_an_edge():
    _, _, y = small()
    names = Counter(lines[0] for lines, _, _ in boxes(draw.to_svg(y)))
    assert names == {"leaf": 3, "Affine": 1, "Relu": 1, "Product": 1, "Add": 1}
    assert len(edges(draw.to_svg(y))) == 3 + 1 + 2 + 2


def test_a_label_holds_operation_shape_and_layer_and_is_escaped():
    _, _, y = small()
    assert ["Affine", "(1, 2)", 'body["0"] <&> Dense'] in [lines for lines, _, _ in boxes(draw.to_svg(y))]


@given(seed=st.integers(0, 10**6), n=st.integers(1, 36))
def test_no_box_lies_on_another_nor_outside_and_inputs_stand_above(seed, n):
    rng = np.random.default_rng(seed)
    nodes = [Tensor(np.ones(3)), Tensor(np.ones((1, 3)))]
    for _ in range(n):
        a, b = (nodes[k] for k in rng.integers(0, len(nodes), 2))
        nodes.append(a + b if rng.random() < 0.6 else ops.concat([a.reshape(-1)] * 3)[:3])
        if len(topological(nodes[-1], lambda n: n.inputs)) > draw.LIMIT:
            nodes.pop()
    svg = draw.to_svg(nodes[-1])
    found = [box for _, box, _ in boxes(svg)]
    assert not any(overlap(a, b) for k, a in enumerate(found) for b in found[:k])
    width, height = (float(ET.fromstring(svg).get(k)) for k in ("width", "height"))
    assert all(a[0] >= 0 and a[1] >= 0 and a[2] <= width and a[3] <= height for a in found)
    for edge in edges(svg):
        ys = [float(y) for y in re.findall(r",(-?[\d.]+)", edge.get("d"))]
        assert ys == sorted(ys)


@given(data=st.data(), n=st.integers(1, 30))
def test_nodes_and_bends_of_a_layer_keep_their_distance(data, n):
    edges = [(data.draw(st.integers(0, b - 1)), b) for b in range(1, n) for _ in range(data.draw(st.integers(0, 3)))]
    widths = [data.draw(st.integers(10, 100)) for _ in range(n)]
    layout = arrange(edges, widths, 5)
    points = [(x - w / 2, x + w / 2, level) for (x, level), w in zip(layout.centres, widths, strict=True)]
    points += [(x, x, level) for bends in layout.bends for x, level in bends]
    for k, (left, right, level) in enumerate(points):
        assert -1e-9 <= left and right <= layout.width + 1e-9
        for other_left, other_right, other_level in points[:k]:
            assert level != other_level or left >= other_right + 5 - 1e-9 or other_left >= right + 5 - 1e-9
    for (a, b), bends in zip(edges, layout.bends, strict=True):
        levels = [layout.centres[a][1], *(level for _, level in bends), layout.centres[b][1]]
        assert levels == list(range(levels[0], levels[-1] + 1))


def test_mermaid_text_is_stable():
    _, _, y = small()
    assert draw.to_mermaid(y) == (
        "flowchart TD\n"
        '    n0(["leaf<br/>(1, 2)"])\n'
        '    n1(["leaf<br/>(2, 2)"])\n'
        '    n2(["leaf<br/>(2,)"])\n'
        '    n3["Affine<br/>(1, 2)<br/>body#91;#34;0#34;#93; #60;#38;#62; Dense"]\n'
        '    n4["Relu<br/>(1, 2)"]\n'
        '    n5["Product<br/>(1, 2)"]\n'
        '    n6["Add<br/>(1, 2)"]\n'
        "    n0 --> n3\n"
        "    n1 --> n3\n"
        "    n2 --> n3\n"
        "    n3 --> n4\n"
        "    n4 --> n5\n"
        "    n3 --> n5\n"
        "    n5 --> n6\n"
        "    n4 --> n6\n"
    )


def test_the_same_tape_is_drawn_with_the_same_text():
    assert draw.to_svg(small()[2]) == draw.to_svg(small()[2])


def test_colours_follow_the_sum_of_a_signal_white_at_zero_full_at_the_largest():
    x, a, y = small()
    signal = {x: np.array([[1.0, 2.0]]), a: Tensor([[-6.0, 0.0]]), y: standin.zeros((1, 2)), Tensor([1.0]): np.ones(1)}
    fills = {lines[0] + lines[1]: (fill, lines[-1]) for lines, _, fill in boxes(draw.to_svg(y, signal))}
    assert fills["Relu(1, 2)"] == ("#5e3c99", "-6")
    assert fills["leaf(1, 2)"] == ("#f2b080", "3")
    assert fills["Add(1, 2)"] == ("#ffffff", "0")
    assert fills["Product(1, 2)"] == ("#ffffff", "(1, 2)")
    text = draw.to_mermaid(y, signal)
    assert "style n4 fill:#5e3c99,color:#ffffff" in text and "<br/>-6" in text


def test_a_colour_leaves_its_text_readable():
    for value in np.linspace(-1, 1, 41):
        fill, ink = (tuple(int(c[k : k + 2], 16) for k in (1, 3, 5)) for c in draw.colour(value, 1.0))
        light, dark = sorted((_luminance(fill), _luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, value  # the contrast that WCAG asks for (level AA)


def _luminance(rgb):
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_more_nodes_than_a_picture_can_show_are_refused():
    y = x = Tensor([1.0])
    for _ in range(draw.LIMIT - 1):
        y = y + 1
    assert sum(1 for _ in boxes(draw.to_svg(y))) == draw.LIMIT
    assert y._repr_svg_() == draw.to_svg(y)
    for to in (draw.to_svg, draw.to_mermaid):
        with pytest.raises(ValueError, match=f"{to.__name__}: the tape has 41 nodes, .* more than 40"):
            to(y + 1)
        with pytest.raises(TypeError, match="y must be a Tensor, got ndarray"):
            to(x.data)
    assert (y + 1)._repr_svg_() is None


def test_a_leaf_alone_is_a_picture_too():
    assert [lines for lines, _, _ in boxes(draw.to_svg(Tensor([1.0])))] == [["leaf", "(1,)"]]
