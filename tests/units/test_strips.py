"""Words on coloured grounds: the colours of heatmaps, ink that can be read, boxes that hold words, HTML that parses."""

from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle

from minidl import backend
from minidl.explain.heatmaps import COLOURS
from minidl.explain.strips import to_html, token_strip

WORDS = """"Wherefore," (said) the counterrevolutionaries-of-antidisestablishmentarianism: it's 50% <b>wrong</b> & costs
$x$ or $y^2$? -- Éclair, naïve; ##ing [unk] _private honorificabilitudinitatibus! jury, gypsy... a I""".split()
tokens_and_scores = st.lists(
    st.tuples(st.sampled_from([*WORDS, " ", "", "\n", "\t"]), st.floats(-10, 10)), min_size=1, max_size=40
)


def drawn(axes):
    """(word, colour of its box, its own colour, box, extent of the word) of each, in pixels."""
    axes = axes.axes[-1] if isinstance(axes, Figure) else axes
    boxes = [p for p in axes.patches if isinstance(p, Rectangle)]
    words = [p for p in axes.patches if isinstance(p, PathPatch)]
    return [
        (w.get_label(), to_hex(b.get_facecolor()), to_hex(w.get_facecolor()), b.get_window_extent(), extent(w))
        for b, w in zip(boxes, words, strict=True)
    ]


def extent(word):
    return word.get_window_extent() if len(word.get_path().vertices) else None


class Spans(HTMLParser):
    """(text, title, style) of each span."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag == "span":
            self.open = ["", *(dict(attrs)[name] for name in ("title", "style"))]
        else:
            assert tag == "div" and not self.found

    def handle_data(self, data):
        if self.open:
            self.open[0] += data

    def handle_endtag(self, tag):
        if tag == "span":
            self.found.append(tuple(self.open))
            self.open = None


def colours_of(style):
    return [dict(part.split(":") for part in style.split(";"))[name] for name in ("background", "color")]


def luminance(colour):
    """Relative luminance as the web's guidelines define it, one channel after the other."""
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


@pytest.mark.source("lrp:eq35")
@given(pairs=tokens_and_scores, largest=st.sampled_from([None, 0.5, 20.0]))
def test_figure_and_html_show_the_colours_of_a_heatmap(pairs, largest):
    tokens, scores = [t for t, _ in pairs], np.array([s for _, s in pairs])
    scale = abs(scores).max() or 1 if largest is None else largest
    grounds = [to_hex(matplotlib.colormaps[COLOURS](0.5 + 0.5 * min(max(s / scale, -1), 1))) for s in scores]
    signs = [t.replace("\n", "↵").replace("\t", "⇥") for t in tokens]
    in_figure = drawn(token_strip(tokens, scores, largest=largest))
    assert [(word, ground) for word, ground, *_ in in_figure] == list(zip(signs, grounds, strict=True))
    spans = Spans(to_html(tokens, scores, largest=largest)).found
    assert [text for text, *_ in spans] == signs
    for (_, title, style), (_, *colours, _, _), score in zip(spans, in_figure, scores, strict=True):
        assert float(title) == pytest.approx(score, rel=1e-3)
        assert colours_of(style) == colours


@pytest.mark.source("lrp:eq35")
def test_zero_is_in_the_middle_and_the_largest_score_at_the_end_of_the_colours():
    ends = [to_hex(matplotlib.colormaps[COLOURS](v)) for v in (0.0, 0.5, 1.0)]
    assert [ground for _, ground, *_ in drawn(token_strip("abc", [-3.0, 0.0, 1.5]))][:2] == ends[:2]
    assert [ground for _, ground, *_ in drawn(token_strip("abc", [-1.5, 0.0, 3.0]))][1:] == ends[1:]
    assert [ground for _, ground, *_ in drawn(token_strip("ab", [0.0, 0.0]))] == [ends[1]] * 2


def test_ink_can_be_read_on_every_ground():
    scores = np.linspace(-1, 1, 513)
    inks = set()
    for _, ground, ink, *_ in drawn(token_strip(["word"] * 513, scores)):
        dark, light = sorted([luminance(ground), luminance(ink)])
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # the guidelines' least contrast; 4.58 can be had on any colour
        inks.add(ink)
    assert inks == {"#000000", "#ffffff"}


@given(pairs=tokens_and_scores, width=st.sampled_from([1.0, 4.0, 6.0]), font_size=st.sampled_from([7.0, 11.0, 15.0]))
def test_boxes_hold_their_words_in_lines_inside_the_figure(pairs, width, font_size):
    tokens, scores = zip(*pairs, strict=True)
    figure = token_strip(tokens, np.array(scores), width=width, font_size=font_size)
    page, words, slack = figure.axes[-1].get_window_extent(), drawn(figure), 1e-6
    assert figure.bbox.x0 < page.x0 and page.x1 < figure.bbox.x1
    scale = figure.axes[0].get_window_extent()
    assert figure.bbox.y0 < scale.y0 < scale.y1 < page.y0 and figure.bbox.x0 < scale.x0 < scale.x1 < page.x1
    for _, _, _, box, word in words:
        assert page.x0 - slack <= box.x0 < box.x1 <= page.x1 + slack
        assert page.y0 - slack <= box.y0 < box.y1 <= page.y1 + slack
        if word is not None:
            assert box.x0 < word.x0 and word.x1 < box.x1 and box.y0 < word.y0 and word.y1 < box.y1
            assert box.width - word.width < 1.2 * font_size * figure.dpi / 72  # all of it: dollars are no formula
    for (*_, one, _), (*_, other, _) in zip(words[:-1], words[1:], strict=True):
        beside = other.x0 > one.x1 and other.y0 == one.y0
        below = other.y1 < one.y0 and other.x0 == pytest.approx(page.x0)
        assert beside or below
        if below:  # only where there was no room
            assert one.x1 + other.width + 0.2 * font_size * figure.dpi / 72 > page.x1


def test_a_strip_fits_into_axes_that_are_there():
    figure = Figure(figsize=(7, 4))
    upper, lower = figure.subplots(2)
    assert token_strip(WORDS, np.arange(len(WORDS)), upper, font_size=9) is figure
    token_strip(WORDS, -np.arange(len(WORDS)), lower, font_size=9)
    assert len(figure.axes) == 2
    for axes in (upper, lower):
        page = axes.get_window_extent()
        for *_, box, word in drawn(axes):
            assert page.x0 - 1e-6 <= box.x0 and box.x1 <= page.x1 + 1e-6 and page.y0 - 1e-6 <= box.y0
            assert box.height == pytest.approx(1.45 * 9 * figure.dpi / 72)
            assert box.x0 < word.x0 and word.x1 < box.x1


def test_the_scale_says_the_largest_score():
    labels = [t.get_text() for t in token_strip("ab", [0.25, -0.1254]).axes[0].get_xticklabels()]
    assert labels == ["-0.25", "0", "0.25"]
    labels = [t.get_text() for t in token_strip("ab", [0.25, -0.1254], largest=2).axes[0].get_xticklabels()]
    assert labels == ["-2", "0", "2"]


def test_tokens_cannot_break_out_of_the_html():
    tokens = ["</span><script>alert(1)</script>", '" onclick="x', "&lt;", "a<b"]
    text = to_html(tokens, [1.0, 2.0, 3.0, -4.0])
    assert "<script" not in text and text.count("<") == 2 * 5
    assert [found for found, *_ in Spans(text).found] == tokens


def test_scores_of_any_array_module_are_shown(xp):
    scores = np.array([0.5, -1.0])
    moved = xp.asarray(scores)
    assert to_html(["a", "b"], moved) == to_html(["a", "b"], scores)
    assert [w[1] for w in drawn(token_strip(["a", "b"], moved))] == [w[1] for w in drawn(token_strip("ab", scores))]
    assert backend.xp(moved) is xp


@pytest.mark.parametrize("show", [token_strip, to_html])
@pytest.mark.parametrize(
    "tokens, scores, settings, sentence",
    [
        (["a", "b"], [1.0], {}, r"as many, at least one, got 2 tokens and scores of shape \(1,\)"),
        (["a", "b"], [[1.0, 2.0]], {}, r"as many, at least one, got 2 tokens and scores of shape \(1, 2\)"),
        ([], [], {}, r"as many, at least one, got 0 tokens and scores of shape \(0,\)"),
        (["a", 7], [1.0, 2.0], {}, "tokens must be strings, got int at place 1"),
        (["a", "b"], [1.0, np.nan], {}, "scores hold NaN or infinite values"),
        (["a", "b"], [1.0, np.inf], {}, "scores hold NaN or infinite values"),
        (["a"], [1.0], {"largest": 0.0}, "largest must be a finite number above 0, got 0.0"),
        (["a"], [1.0], {"largest": np.inf}, "largest must be a finite number above 0, got inf"),
    ],
)
def test_what_strips_refuse(show, tokens, scores, settings, sentence):
    with pytest.raises((TypeError, ValueError), match=f"{show.__name__}: .*{sentence}"):
        show(tokens, scores, **settings)


@pytest.mark.parametrize("size, tokens", [((1, 4), ["honorificabilitudinitatibus"]), ((4, 1), ["word"] * 40)])
def test_axes_that_are_too_small_are_refused(size, tokens):
    axes = Figure(figsize=size).add_axes((0, 0, 1, 1))
    needs = rf"the words need \d+ x \d+ points, the axes have {72 * size[0]} x {72 * size[1]}; give larger axes"
    with pytest.raises(ValueError, match=needs):
        token_strip(tokens, np.zeros(len(tokens)), axes)
