"""Scores of words: each word on a ground coloured by its score, as a figure and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from .heatmaps import COLOURS, normalise

# in font sizes
LINE, BASE, DEEP, HIGH = 1.75, 1.2, 0.4, 1.05  # from line to line, line to baseline, baseline to box's bottom and top
SIDE, GAP, EDGE = 0.3, 0.25, 0.4  # beside a word in its box, between boxes, around the figure
BAR, BAR_LEFT, BAR_WIDTH, NARROWEST = 2.6, 2.0, 12.0, 18.0  # the scale of the colours, and the figure that holds it


class Cell(NamedTuple):
    """A word as it is shown: its text, the colour behind it and its own, as #rrggbb."""

    text: str
    ground: str
    ink: str


def token_strip(
    tokens: Sequence[str],
    scores: Any,
    ax: Any = None,
    *,
    width: float = 6.0,
    font_size: float = 11.0,
    largest: float | None = None,
) -> Any:
    """Words in lines, each on a ground coloured by its score: purple below zero, orange above, as in heatmaps.

    tokens: T strings. scores: (T,). ax: matplotlib axes to draw in, of the size that they have now; if not given, a
    figure is made, with the scale of the colours below the words. width: of that figure in inches, more where a word or
    the scale needs it. font_size: in points. largest: the |score| of the strongest colours, for strips that are to be
    compared; if not given, the largest there is. Returns the matplotlib Figure.
    Raises TypeError and ValueError if tokens and scores do not fit each other or the axes, for NaN and infinite
    scores, and if largest is not above 0.
    Source: lrp:eq35
    """
    cells = _cells(tokens, scores, largest, "token_strip")
    widths = [_width(cell.text, font_size) + 2 * SIDE * font_size for cell in cells]
    if ax is None:
        room = max(72 * width, NARROWEST * font_size, *widths)
    else:
        box = ax.get_window_extent()
        room, height = (72 * side / ax.figure.dpi for side in (box.width, box.height))
    places = _wrapped(widths, room, GAP * font_size)
    needed = (places[-1][1] + 1) * LINE * font_size
    if ax is None:
        height = needed
        ax = _page(room, height, font_size, largest or float(abs(to_numpy(scores)).max()) or 1.0)
    elif max(widths) > room or needed > height:
        raise ValueError(
            f"token_strip: the words need {max(room, *widths):.0f} x {needed:.0f} points, the axes have "
            f"{room:.0f} x {height:.0f}; give larger axes or a smaller font_size"
        )
    ax.set(xlim=(0, room), ylim=(-height, 0))  # points from the upper left corner
    ax.set_axis_off()
    for cell, span, (left, line) in zip(cells, widths, places, strict=True):
        _draw(ax, cell, left, -(line * LINE + BASE) * font_size, span, font_size)
    return ax.figure


def to_html(tokens: Sequence[str], scores: Any, *, largest: float | None = None) -> str:
    """The same words as a fragment of HTML that needs nothing else: the mouse on a word shows its score.

    tokens, scores, largest and errors: as for `token_strip`. Tokens are escaped.
    Source: lrp:eq35
    """
    cells = _cells(tokens, scores, largest, "to_html")
    words = [
        f'<span title="{score:.4g}" style="background:{cell.ground};color:{cell.ink};padding:.15em .3em;'
        f'white-space:pre">{escape(cell.text)}</span>'
        for cell, score in zip(cells, to_numpy(scores), strict=True)
    ]
    return f'<div style="line-height:1.75">{" ".join(words)}</div>'


def _cells(tokens: Sequence[str], scores: Any, largest: float | None, caller: str) -> list[Cell]:
    """What is shown of each token."""
    import matplotlib
    from matplotlib.colors import to_hex

    tokens, scores = list(tokens), to_numpy(scores)
    for k, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(f"{caller}: tokens must be strings, got {type(token).__name__} at place {k}")
    if not tokens or scores.shape != (len(tokens),):
        raise ValueError(
            f"{caller}: tokens and scores must be as many, at least one, got {len(tokens)} tokens and scores of shape "
            f"{scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{caller}: scores hold NaN or infinite values")
    if largest is not None and not 0 < largest < np.inf:
        raise ValueError(f"{caller}: largest must be a finite number above 0, got {largest!r}")
    shades = normalise(scores[None])[0] if largest is None else np.clip(scores / largest, -1, 1)
    grounds = matplotlib.colormaps[COLOURS]((shades + 1) / 2)[:, :3]
    return [
        Cell(_shown(token), to_hex(ground), "#000000" if dark_ink else "#ffffff")
        for token, ground, dark_ink in zip(tokens, grounds, _asks_for_black(grounds), strict=True)
    ]


def _shown(token: str) -> str:
    """The token on one line: characters that would break it have signs."""
    return token.replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}").replace("\t", "\N{RIGHTWARDS ARROW TO BAR}")


def _asks_for_black(colours: np.ndarray) -> np.ndarray:
    """Whether black is easier to read on the colours than white: (T, 3) in [0, 1] to (T,).

    By the contrast ratio of the web's guidelines (WCAG 2), (L + 0.05) / (L' + 0.05) for luminances L > L'.
    """
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return (luminance + 0.05) ** 2 >= 1.05 * 0.05


def _width(text: str, font_size: float) -> float:
    """The width of a text in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    # dollar signs mark no formula here
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=font_size), ismath=False)[0]


def _wrapped(widths: list[float], room: float, gap: float) -> list[tuple[float, int]]:
    """(left, line) of each box: as many in a line as there is room for."""
    places, left, line = [], 0.0, 0
    for width in widths:
        if left > 0 and left + width > room:
            left, line = 0.0, line + 1
        places.append((left, line))
        left += width + gap
    return places


def _page(room: float, height: float, em: float, largest: float) -> Any:
    """Axes of room x height points in a figure of their own, above the scale of the colours."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    whole = room + 2 * EDGE * em, height + (2 * EDGE + BAR) * em
    figure = Figure(figsize=(whole[0] / 72, whole[1] / 72))

    def axes(left: float, bottom: float, width: float, height: float) -> Any:
        return figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))

    place = axes(BAR_LEFT * em, (EDGE + 1.3) * em, BAR_WIDTH * em, 0.5 * em)
    bar = figure.colorbar(ScalarMappable(Normalize(-1, 1), COLOURS), cax=place, orientation="horizontal")
    bar.set_ticks([-1, 0, 1], labels=[f"{-largest:.3g}", "0", f"{largest:.3g}"], fontsize=0.7 * em)
    place.text(1.06, 0.5, "score", transform=place.transAxes, va="center", fontsize=0.7 * em)
    return axes(EDGE * em, (EDGE + BAR) * em, room, height)


def _draw(ax: Any, cell: Cell, left: float, baseline: float, width: float, em: float) -> None:
    """A box with its word, in points. Outlines have the same width at every resolution, which text has not."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.path import Path
    from matplotlib.textpath import text_to_path

    corner, size = (left, baseline - DEEP * em), (width, (DEEP + HIGH) * em)
    ax.add_artist(Rectangle(corner, *size, facecolor=cell.ground, linewidth=0))
    points, codes = text_to_path.get_text_path(FontProperties(), cell.text, ismath=False)
    outline = Path(np.reshape(points, (-1, 2)) * em / text_to_path.FONT_SCALE + (left + SIDE * em, baseline), codes)
    ax.add_artist(PathPatch(outline, facecolor=cell.ink, linewidth=0, label=cell.text))
