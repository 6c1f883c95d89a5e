"""One heatmap of a whole image from explanations of its parts, each classified by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import is_array, to_numpy, xp
from ..ops.kernels import pair


def split_regions(
    image: Any, size: int | tuple[int, int], stride: int | tuple[int, int] | None = None
) -> tuple[Any, np.ndarray]:
    """Regions of one size that cover an image, and where they lie.

    image: (C, H, W). size, stride: ints or pairs, in pixels; the stride is the size if not given. Where the stride does
    not lead to the border, the last regions are moved back to end there; a stride beyond the size leaves out what lies
    between regions. Returns the regions (K, C, h, w), row by row, and their upper left corners (K, 2), row and column.
    Raises ValueError for an image of other axes, or smaller than a region.
    Source: lrp:sub-regions
    """
    (h, w), image = pair(size, "split_regions: size"), image if is_array(image) else np.asarray(image)
    steps = (h, w) if stride is None else pair(stride, "split_regions: stride")
    if image.ndim != 3 or image.shape[1] < h or image.shape[2] < w:
        raise ValueError(f"split_regions: image must be (C, H, W), of at least {h} x {w} pixels, got {image.shape}")
    rows, columns = (
        sorted({*range(0, length - side, step), length - side})
        for length, side, step in zip(image.shape[1:], (h, w), steps)
    )
    corners = np.array([(i, j) for i in rows for j in columns])
    return xp(image).stack([image[:, i : i + h, j : j + w] for i, j in corners.tolist()]), corners


def average_regions(scores: Any, corners: Any, shape: tuple[int, int, int]) -> Any:
    """Scores of an image from those of its regions: the mean of all regions that cover a pixel, 0 where none does.

    scores: (K, C, h, w), one explanation for each region. corners: ints (K, 2), the row and column of its upper left
    pixel. shape: (C, H, W) of the image. Returns that shape in the type of the scores. Where regions do not overlap the
    image's scores sum to those of all regions; where they do, less.
    Raises ValueError for shapes that do not fit each other, and for a region that leaves the image.
    Source: lrp:sub-regions
    """
    scores, corners = scores if is_array(scores) else np.asarray(scores, np.float64), to_numpy(corners)
    if scores.ndim != 4 or len(shape) != 3 or scores.shape[1] != shape[0]:
        raise ValueError(
            f"average_regions: scores must be (K, C, h, w) for an image (C, H, W) of shape {tuple(shape)}, "
            f"got {scores.shape}"
        )
    if corners.shape != (len(scores), 2) or corners.dtype.kind not in "iu":
        raise ValueError(
            f"average_regions: corners must be ints ({len(scores)}, 2), one for each region, "
            f"got {corners.dtype} {corners.shape}"
        )
    size = scores.shape[2:]
    outside = (corners < 0) | (corners + size > shape[1:])
    if outside.any():
        k = int(outside.any(1).argmax())
        raise ValueError(
            f"average_regions: region {k}, of {size} pixels at {tuple(corners[k].tolist())}, leaves the image of "
            f"{tuple(shape[1:])} pixels"
        )
    m = xp(scores)
    total, count = m.zeros(shape, scores.dtype), m.zeros(shape[1:], scores.dtype)
    for region, (i, j) in zip(scores, corners.tolist()):
        at = slice(i, i + size[0]), slice(j, j + size[1])
        total[:, *at] += region
        count[at] += 1
    return total / m.maximum(count, 1)
