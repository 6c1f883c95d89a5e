"""DNA with motifs, simulated: the sequences of DeepLIFT's section 4.2, and letters as one-hot arrays and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backend import to_numpy
from ..randomness import generator

LETTERS = "ACGT"
BACKGROUND = (0.3, 0.2, 0.2, 0.3)  # probabilities of A, C, G, T

# Rows are positions, columns the probabilities of A, C, G, T; for the origin see files/README.md.
MOTIFS = {
    "GATA1": np.array(  # GATA_disc1
        [
            [0.322751, 0.185185, 0.359788, 0.132275],
            [0.137566, 0.476190, 0.322751, 0.063492],
            [0.666667, 0.100529, 0.000000, 0.232804],
            [0.000000, 0.000000, 1.000000, 0.000000],
            [1.000000, 0.000000, 0.000000, 0.000000],
            [0.000000, 0.000000, 0.000000, 1.000000],
            [0.878307, 0.000000, 0.000000, 0.121693],
            [0.973545, 0.026455, 0.000000, 0.000000],
            [0.000000, 0.052910, 0.947090, 0.000000],
            [0.243386, 0.248677, 0.507937, 0.000000],
        ]
    ),
    "TAL1": np.array(  # TAL1_known1
        [
            [0.23, 0.35, 0.28, 0.14],
            [0.15, 0.30, 0.23, 0.32],
            [0.14, 0.23, 0.44, 0.19],
            [0.66, 0.09, 0.14, 0.11],
            [0.61, 0.30, 0.03, 0.06],
            [0.00, 1.00, 0.00, 0.00],
            [1.00, 0.00, 0.00, 0.00],
            [0.00, 0.00, 1.00, 0.00],
            [0.86, 0.01, 0.10, 0.03],
            [0.00, 0.00, 0.00, 1.00],
            [0.00, 0.00, 1.00, 0.00],
            [0.01, 0.03, 0.61, 0.35],
            [0.03, 0.17, 0.01, 0.79],
            [0.20, 0.43, 0.17, 0.20],
            [0.27, 0.23, 0.31, 0.19],
            [0.23, 0.26, 0.32, 0.19],
        ]
    ),
}

TASKS = ("both", "GATA1", "TAL1")
KINDS = ("both", "GATA1", "TAL1", "none")
LABELS = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 1], [0, 0, 0]], np.float32)  # of each kind, for each task
MEANS = np.array([[1, 1], [2, 0], [0, 2], [0, 0]])  # of the Poisson counts of each kind, for each motif
MOST = 3  # instances of a motif in a sequence


class Site(NamedTuple):
    """A motif instance in a sequence: its first position, from 0, and the motif's name."""

    start: int
    motif: str

    @property
    def stop(self) -> int:
        """The position behind its last letter."""
        return self.start + len(MOTIFS[self.motif])


@dataclass(frozen=True, eq=False)
class Genomics:
    """Simulated sequences.

    x: (n, 4, length) float32, one-hot in the order A, C, G, T. labels: (n, 3) float32, 0 or 1 for each of TASKS.
    kind: (n,) ints, places in KINDS. sites: for each sequence the motif instances put into it, from left to right.
    """

    x: np.ndarray
    labels: np.ndarray
    kind: np.ndarray
    sites: tuple[tuple[Site, ...], ...]


def simulate(n: int = 8000, length: int = 200, rng: Any = 0) -> Genomics:
    """Draw n sequences: a quarter each with both motifs, with GATA1, with TAL1 and with none, in random order.

    Letters are drawn from BACKGROUND, then motif instances are written over them, on the forward strand. A sequence
    gets 1 to 3 instances of a motif that it has: a Poisson count, of mean 1 where both are in and 2 where one is,
    drawn again until it lies there. `place` says where they go, `instances` which letters they have.
    n: a multiple of 4. length: in letters. rng: a Generator or an int.
    Raises ValueError for another n or a length with no room for 3 instances of each motif.
    Erratum: deeplift, section 4.2: printed tasks 1, 2, 3 in one paragraph and 0, 1, 2 afterwards; here 0 is both, 1 is
    GATA1 and 2 is TAL1.
    Source: deeplift:genomics-simulation
    """
    rng = generator(rng, "simulate")
    room = MOST * sum(map(len, MOTIFS.values()))
    if n < 4 or n % 4:
        raise ValueError(f"simulate: n must be a positive multiple of 4, a quarter for each kind, got {n}")
    if length < room:
        raise ValueError(
            f"simulate: length must be at least {room}, for {MOST} instances of each motif side by side, got {length}"
        )
    kind = rng.permutation(np.repeat(np.arange(len(KINDS)), n // 4))
    counts = truncated_poisson(MEANS[kind], rng)
    sites = tuple(place([name for name, k in zip(MOTIFS, row) for _ in range(k)], length, rng) for row in counts)
    codes = rng.choice(len(LETTERS), (n, length), p=BACKGROUND)
    for name, motif in MOTIFS.items():
        rows, starts = np.transpose([(r, s.start) for r, of_r in enumerate(sites) for s in of_r if s.motif == name])
        codes[rows[:, None], starts[:, None] + np.arange(len(motif))] = instances(motif, len(rows), rng)
    x = (codes[:, None] == np.arange(len(LETTERS))[:, None]).astype(np.float32)
    return Genomics(x, LABELS[kind], kind, sites)


def truncated_poisson(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson counts drawn again until they lie in 1..3; 0 where the mean is 0. Returns ints of the mean's shape."""
    counts = np.zeros(mean.shape, np.int64)
    while (again := (mean > 0) & ((counts < 1) | (counts > MOST))).any():
        counts[again] = rng.poisson(mean[again])
    return counts


def place(motifs: Sequence[str], length: int, rng: np.random.Generator) -> tuple[Site, ...]:
    """Put motif instances where they do not overlap, every placement being as likely as every other.

    Instances in random order and the free letters between them are one row of items; which items are the instances
    is a choice without replacement, and each choice is one placement.
    motifs: a name for each instance. Returns sites from left to right.
    """
    order = rng.permutation(motifs)
    widths = np.array([len(MOTIFS[name]) for name in order], np.int64)
    items = length - widths.sum() + len(order)
    chosen = np.sort(rng.choice(items, len(order), replace=False))
    starts = chosen + np.cumsum(widths - 1) - (widths - 1)  # each instance before stretches one item to its width
    return tuple(Site(int(start), str(name)) for start, name in zip(starts, order))


def instances(motif: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw instances of a motif, letter by letter from its smoothed probabilities: ints 0..3 of shape (count, w)."""
    edges = smoothed(motif).cumsum(1)[:, :-1]
    return (rng.random((count, len(motif), 1)) >= edges).sum(2)


def smoothed(motif: Any, pseudocount: float = 0.001) -> np.ndarray:
    """A motif in which no letter is impossible: (1 - c) p + c / 4 for the pseudocount c.

    motif: (w, 4), probabilities of A, C, G, T at each position. Returns float64 (w, 4), rows summing to 1.
    Raises ValueError if a row is no distribution (up to 0.001, for printed digits) or c does not lie in (0, 1).
    """
    p = np.asarray(motif, np.float64)
    if p.ndim != 2 or p.shape[1] != len(LETTERS) or not len(p):
        raise ValueError(f"motif: expected (w, 4), a probability for each letter at each position, got {p.shape}")
    if not (fine := (p >= 0).all(1) & (abs(p.sum(1) - 1) <= 1e-3)).all():
        raise ValueError(f"motif: each row must hold probabilities that sum to 1, got {p[~fine][0].tolist()}")
    if not 0 < pseudocount < 1:
        raise ValueError(f"pseudocount must lie in (0, 1), got {pseudocount!r}")
    return (1 - pseudocount) * p / p.sum(1, keepdims=True) + pseudocount / len(LETTERS)


def one_hot(sequences: Sequence[str], dtype: Any = np.float32) -> np.ndarray:
    """Sequences of A, C, G, T as arrays: (N, 4, T), 1 for the letter that is there and else 0.

    sequences: strings of one length. Raises TypeError for a single string, ValueError for none, for strings of
    different or no length, and for another letter, with its position from 0.
    """
    if isinstance(sequences, str):
        raise TypeError("one_hot: sequences must be a list of strings, got a str; a single sequence needs [sequence]")
    lengths = sorted({len(s) for s in sequences})
    if len(lengths) != 1 or not lengths[0]:
        raise ValueError(f"one_hot: sequences must have one length of at least 1, got lengths {lengths}")
    characters = np.array([list(s) for s in sequences])
    x = characters[:, None] == np.array(list(LETTERS))[:, None]
    if not x.any(1).all():
        row, position = np.argwhere(~x.any(1))[0]
        letter = str(characters[row, position])
        raise ValueError(
            f"one_hot: sequence {row} holds {letter!r} at position {position}, expected one of A, C, G, T in capitals"
        )
    return x.astype(dtype)


def letters(x: Any) -> list[str]:
    """The sequences of a one-hot array (N, 4, T) as strings of A, C, G, T.

    Raises ValueError unless every position holds a single 1 and else zeros.
    """
    refuse_other_than_one_hot(x, "letters")
    return ["".join(row) for row in np.array(list(LETTERS))[to_numpy(x).argmax(1)]]


def refuse_other_than_one_hot(x: Any, caller: str) -> None:
    """ValueError unless x is (N, 4, T) with a single 1 and else zeros at every position."""
    if x.ndim != 3 or x.shape[1] != len(LETTERS):
        raise ValueError(f"{caller}: x must have shape (N, 4, T), letters in the order A, C, G, T, got {x.shape}")
    if not (((x == 0) | (x == 1)).all() and (x.sum(1) == 1).all()):
        raise ValueError(f"{caller}: x must be one-hot, a single 1 and else zeros at every position")
