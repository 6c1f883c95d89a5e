"""Scores of DNA as letters whose height is the score, as in DeepLIFT's figure 6."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..data.genomics import LETTERS

# A green, C blue, G orange, T red is customary; these are its hues in a palette (Okabe and Ito's) whose members stay
# apart in every common kind of colour blindness
COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00"}
WIDTH = 0.9  # of a letter, in positions


def plot_letters(
    scores: Any, ax: Any = None, *, highlight: Sequence[tuple[int, int, Any]] = (), title: str | None = None
) -> Any:
    """Letters stacked at each position, as high as their scores: upwards above zero, downwards and upside down below.

    Of the letters at a position the small ones are nearer to the axis. For a picture as in the text, with all of a
    position's score on the letter that is there, draw `scores.sum(0) * x`.
    scores: (4, T), letters in the order A, C, G, T. ax: matplotlib Axes, made if not given. highlight: boxes around
    motifs, (start, stop, colour), from start up to but without stop, such as a `Site` of `minidl.data.genomics` has
    them. title: of the plot.
    Returns the Axes; letter t is centred on x = t and the letters are one collection.
    Raises ValueError for scores of another shape or not finite, and for a box that does not lie in 0..T.
    Source: deeplift:fig6
    """
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Rectangle
    from matplotlib.path import Path
    from matplotlib.ticker import MaxNLocator

    scores = to_numpy(scores)
    if scores.ndim != 2 or len(scores) != len(LETTERS) or not scores.size:
        raise ValueError(f"plot_letters: scores must be (4, T), letters in the order A, C, G, T, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("plot_letters: scores hold NaN or infinite values")
    length = scores.shape[1]
    for start, stop, _ in highlight:
        if not 0 <= start < stop <= length:
            raise ValueError(
                f"plot_letters: highlight must hold (start, stop, colour) with 0 <= start < stop <= {length}, "
                f"got {start} and {stop}"
            )
    if ax is None:
        ax = _axes(length)
    feet = stacked(scores)
    paths, colours = [], []
    for k, t in np.argwhere(scores != 0):
        outline = glyph(LETTERS[k])
        corner = t - WIDTH / 2, feet[k, t]
        paths.append(Path(outline.vertices * (WIDTH, scores[k, t]) + corner, outline.codes))
        colours.append(COLOURS[LETTERS[k]])
    ax.add_collection(PathCollection(paths, facecolors=colours, linewidths=0))
    low, high = np.minimum(scores, 0).sum(0).min(), np.maximum(scores, 0).sum(0).max()
    margin = 0.1 * (high - low) or 1.0
    for start, stop, colour in highlight:
        corner = start - 0.5, low - margin / 2
        ax.add_patch(Rectangle(corner, stop - start, high - low + margin, fill=False, edgecolor=colour))
    ax.axhline(0, color="black", linewidth=0.5)
    ax.set(xlim=(-0.5, length - 0.5), ylim=(low - margin, high + margin), xlabel="position", ylabel="score")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if title is not None:
        ax.set_title(title)
    return ax


def stacked(scores: np.ndarray) -> np.ndarray:
    """Where each letter begins: on the smaller ones of its sign at its position. scores: (4, T); so is the result."""
    order = np.argsort(abs(scores), axis=0, kind="stable")
    ordered = np.take_along_axis(scores, order, 0)
    up, down = np.maximum(ordered, 0), np.minimum(ordered, 0)
    before = np.where(ordered > 0, up.cumsum(0) - up, down.cumsum(0) - down)
    feet = np.empty_like(before)
    np.put_along_axis(feet, order, before, 0)
    return feet


@cache
def glyph(letter: str) -> Any:
    """The outline of a letter as a matplotlib Path that fills the unit square exactly."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    outline = TextPath((0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    box = outline.get_extents()
    return Path((outline.vertices - box.min) / box.size, outline.codes)


def _axes(length: int) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(np.clip(0.12 * length, 4, 24), 2), layout="constrained").subplots()
