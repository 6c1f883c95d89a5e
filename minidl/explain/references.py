"""References to measure differences against: zero, expected letters, a blurred image, shuffled sequences.

The choice says what a difference means, so it belongs to the data: zeros for digits on black, expected or shuffled
letters for DNA, a blur for photographs. Each function returns an array to be passed on as `reference`: one row that
stands for all, a row for each row of x, or several of those along axis 0, for
`deeplift(..., reference=dinucleotide_shuffled(x, 20, rng), axis=0)`. That a shuffle may keep letters or pairs of
letters is the supplement's; the text says only that sequences are shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..backend import to_numpy, xp
from ..randomness import generator
from .target import checked

TRUNCATE = 4  # standard deviations at which a Gaussian is cut off


def zeros(x: Any) -> Any:
    """All zeros: the background of MNIST's digits. Returns one row, (1, ...), of x's type.

    Source: deeplift:references
    """
    x = checked(x, "zeros")
    return xp(x).zeros((1, *x.shape[1:]), x.dtype)


def expected_frequencies(x: Any, frequencies: Any = None, axis: int = 1) -> Any:
    """The frequency of each letter in the background, the same at every position.

    x: sequences with letters along `axis`, 1 for (N, K, T) or 2 for (N, T, K). frequencies: (K,), summing to 1, for
    DNA (0.3, 0.2, 0.2, 0.3); if not given, the mean of x over rows and positions.
    Returns one row, (1, K, T) or (1, T, K), of x's type. Raises ValueError for another shape, axis or sum.
    Source: deeplift:references
    """
    x, axis = checked_sequences(x, axis, "expected_frequencies")
    m, letters = xp(x), x.shape[axis]
    if frequencies is None:
        p = x.mean((0, 3 - axis), dtype=np.float64)
    else:
        p = np.asarray(to_numpy(frequencies), np.float64)
        if p.shape != (letters,) or not ((p >= 0).all() and abs(p.sum() - 1) <= 1e-6):
            raise ValueError(
                f"expected_frequencies: frequencies must be {letters} numbers >= 0 that sum to 1, got {p.tolist()}"
            )
        p = m.asarray(p)
    p = p.astype(x.dtype)
    return m.broadcast_to(p[None, :, None] if axis == 1 else p, (1, *x.shape[1:]))


def blurred(x: Any, sigma: float) -> Any:
    """Images smoothed by a Gaussian along both of their last axes: what is left of them is no edge.

    x: (N, ..., H, W). sigma: the standard deviation in pixels. Behind a border the image goes on as its mirror, the
    pixel at the border first, so a constant image stays as it is and every image keeps its mean.
    Returns x's shape and type. Raises ValueError for an x of fewer axes and for a sigma that is not above 0.
    Source: deeplift:references
    """
    x = checked(x, "blurred")
    if x.ndim < 3:
        raise ValueError(f"blurred: x must be images (N, ..., H, W), got shape {x.shape}")
    if not (sigma > 0 and np.isfinite(sigma)):
        raise ValueError(f"blurred: sigma must be a number of pixels above 0, got {sigma!r}")
    rows, columns = (xp(x).asarray(gaussian(size, sigma).astype(x.dtype)) for size in x.shape[-2:])
    return rows @ x @ columns.T


def gaussian(size: int, sigma: float) -> np.ndarray:
    """The matrix that smooths `size` pixels: a sampled Gaussian around each, folded back at the borders.

    Returns float64 (size, size), symmetric; rows and columns sum to 1.
    """
    reach = int(TRUNCATE * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    to = np.arange(size)
    at = (to[:, None] + offsets) % (2 * size)  # the image and its mirror, over and over
    matrix = np.zeros((size, size))
    np.add.at(matrix, (to[:, None], np.minimum(at, 2 * size - 1 - at)), kernel / kernel.sum())
    return matrix


def shuffled(x: Any, n: int, rng: Any, axis: int = 1) -> Any:
    """The letters of each sequence in random order, n times: every order is equally likely.

    x: sequences with letters along `axis`, 1 for (N, K, T) or 2 for (N, T, K). n: shuffles of each sequence, 20 is
    customary. rng: a Generator or an int.
    Returns (n, *x.shape), of x's type. Raises ValueError for another shape, axis or n.
    Source: deeplift:references
    """
    x, axis = checked_sequences(x, axis, "shuffled")
    checked_number(n, "shuffled")
    m = xp(x)
    length = x.shape[3 - axis]
    order = generator(rng, "shuffled").permuted(np.broadcast_to(np.arange(length), (n, len(x), length)), axis=-1)
    return m.take_along_axis(x[None], m.asarray(np.expand_dims(order, axis + 1)), axis=4 - axis)


def dinucleotide_shuffled(x: Any, n: int, rng: Any, axis: int = 1) -> Any:
    """Each sequence in random order with all of its pairs of neighbours kept, n times (Altschul and Erickson).

    Every sequence with the same number of each pair, and so the same first and last letter, is equally likely.
    x: one-hot sequences with letters along `axis`, 1 for (N, K, T) or 2 for (N, T, K). n: shuffles of each sequence,
    20 is customary. rng: a Generator or an int.
    Returns (n, *x.shape), of x's type. Raises ValueError for another shape, axis or n, or if x is not one-hot.
    Source: deeplift:references
    """
    x, axis = checked_sequences(x, axis, "dinucleotide_shuffled")
    checked_number(n, "dinucleotide_shuffled")
    if not (((x == 0) | (x == 1)).all() and (x.sum(axis) == 1).all()):
        raise ValueError(f"dinucleotide_shuffled: x must be one-hot along axis {axis}, a single 1 and else zeros")
    rng = generator(rng, "dinucleotide_shuffled")
    sequences = to_numpy(x).argmax(axis).tolist()
    drawn = np.array([list(euler_paths(sequence, n, rng)) for sequence in sequences])  # (N, n, T)
    letters = np.expand_dims(np.arange(x.shape[axis]), 2 - axis)
    return xp(x).asarray((np.expand_dims(drawn.swapaxes(0, 1), axis + 1) == letters).astype(x.dtype))


def euler_paths(sequence: Sequence[int], n: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """n random sequences with the same pairs of neighbours.

    Pairs are the edges of a graph whose vertices are letters, and a path along all of them is a sequence. The edges by
    which each letter is left for the last time form a tree that leads to the last letter; with a random tree, and the
    other edges in random order before them, every path is equally likely.
    """
    followers: dict[int, list[int]] = {}
    for letter, following in pairwise(sequence):
        followers.setdefault(letter, []).append(following)
    for _ in range(n):
        last = last_exits(followers, sequence[-1], rng)
        exits = {}
        for letter, those in followers.items():
            order = those.copy()
            if letter in last:
                order.remove(last[letter])
            rng.shuffle(order)
            exits[letter] = iter([*order, last[letter]] if letter in last else order)
        path = [sequence[0]]
        for _ in range(len(sequence) - 1):
            path.append(next(exits[path[-1]]))
        yield path


def last_exits(followers: Mapping[int, Sequence[int]], end: int, rng: np.random.Generator) -> dict[int, int]:
    """For each letter but the last the one that follows it for the last time: a random tree to `end` (Wilson).

    From each letter in turn walk at random until the tree is met; what the walk did last at each letter is its exit.
    """
    exits: dict[int, int] = {}
    tree = {end}
    for start in followers:
        letter = start
        while letter not in tree:
            those = followers[letter]
            exits[letter] = those[rng.integers(len(those))]
            letter = exits[letter]
        letter = start
        while letter not in tree:
            tree.add(letter)
            letter = exits[letter]
    return exits


def checked_sequences(x: Any, axis: int, caller: str) -> tuple[Any, int]:
    """x checked and the axis of letters, 1 or 2; ValueError unless x has three axes and this is one of the last two."""
    x = checked(x, caller)
    if x.ndim != 3 or not x.size or axis not in (1, 2, -1, -2):
        raise ValueError(
            f"{caller}: x must be sequences with three axes and axis, that of the letters, 1 or 2, "
            f"got shape {x.shape} and axis {axis!r}"
        )
    return x, axis % 3


def checked_number(n: int, caller: str) -> None:
    """ValueError unless n is an int of at least 1."""
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"{caller}: n, the number of shuffles, must be an int of at least 1, got {n!r}")
