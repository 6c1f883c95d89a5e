"""Scores as pictures: normalised to [-1, 1] and drawn with zero in the middle of a diverging colour map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import to_numpy
from .explanation import scores_of

COLOURS = "PuOr_r"  # purple below zero, orange above: distinct in every common kind of colour blindness


def normalise(scores: Any, over: str = "image") -> np.ndarray:
    """Scores divided by the largest |score|: of each image, or of the whole set.

    scores: (N, ...). over: "image", or "set" so that images can be compared. All zero stays zero.
    Returns NumPy floats in [-1, 1] of the same shape. Raises ValueError for another `over` and for scores that are not
    finite.
    Source: lrp:eq35
    """
    scores = scores_of(scores, "normalise")
    if over not in ("image", "set"):
        raise ValueError(f'normalise: over must be "image" or "set", got {over!r}')
    axes = tuple(range(1 if over == "image" else 0, scores.ndim))
    largest = abs(scores).max(axis=axes, keepdims=True)
    return scores / np.where(largest == 0, 1, largest)


def picture(scores: Any) -> np.ndarray:
    """Scores as images (N, H, W): channels summed, vectors as one row of pixels."""
    scores = to_numpy(scores)
    if scores.ndim == 4:
        return scores.sum(1)
    if scores.ndim == 3:
        return scores
    if scores.ndim == 2:
        return scores[:, None, :]
    raise ValueError(f"plot: scores must be (N, C, H, W), (N, H, W) or (N, features), got shape {scores.shape}")


def plot(
    explanations: Any,
    *,
    images: Any = None,
    over: str = "image",
    titles: Sequence[str] | None = None,
    row_titles: Sequence[str] | None = None,
    size: float = 1.3,
) -> Any:
    """Heatmaps in a grid: a row for each image, a column for each explanation.

    explanations: an Explanation, an array of scores, or a sequence of them, each of N images. images: (N, ...), drawn
    in grey as a first column. over: scale of the colours, see `normalise`. titles: of the columns. row_titles: of the
    images. size: inches of a tile. Returns a matplotlib Figure; channels are summed.
    Source: lrp:eq35
    """
    from matplotlib.figure import Figure

    if hasattr(explanations, "scores") or isinstance(explanations, np.ndarray):
        explanations = [explanations]
    columns = [getattr(e, "scores", e) for e in explanations]
    names = titles or [getattr(e, "method", "") for e in explanations]
    maps = [normalise(picture(c), over) for c in columns]
    grey = [] if images is None else [picture(images)]
    counts = {len(m) for m in maps + grey} | ({len(row_titles)} if row_titles is not None else set())
    if len(counts) != 1 or len(names) != len(maps):
        raise ValueError(
            f"plot: scores, images and row_titles must be of one number of images, got {sorted(counts)}, "
            f"and titles one for each of the {len(maps)} columns, got {len(names)}"
        )
    rows, cols = len(maps[0]), len(maps) + len(grey)
    figure = Figure(figsize=(cols * size + 0.8, rows * size + 0.3), layout="constrained")
    axes = figure.subplots(rows, cols, squeeze=False)
    for r in range(rows):
        for c, source in enumerate(grey + maps):
            ax = axes[r][c]
            is_map = c >= len(grey)
            limits = {"cmap": COLOURS, "vmin": -1, "vmax": 1} if is_map else {"cmap": "Greys"}
            shown = ax.imshow(source[r], interpolation="nearest", **limits)
            ax.set_xticks([])
            ax.set_yticks([])
            if r == 0:
                ax.set_title((["input"] if grey else [])[c] if not is_map else names[c - len(grey)], fontsize=8)
            if c == 0 and row_titles is not None:
                ax.set_ylabel(row_titles[r], fontsize=8)
    scale = "image" if over == "image" else "set"
    bar = figure.colorbar(shown, ax=axes, shrink=min(1.0, 1.5 / rows + 0.3), ticks=[-1, 0, 1])
    bar.set_label(f"score / largest |score| of the {scale}", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    return figure
