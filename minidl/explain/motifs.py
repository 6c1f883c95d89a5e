"""Judging scores by motifs: how strongly a sequence matches one, and how much importance the match was given.

Figure 5 of the text shows one against the other, for the 5 best matches of each test sequence. What it asks for:
importance for a motif on the tasks that need it, (1) and (4), none on the task that does not, (2), more for stronger
matches, (3), and on the task that needs both motifs more where both are there, (5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..backend import to_numpy, xp
from ..data.genomics import BACKGROUND, KINDS, MOTIFS, TASKS, Site, refuse_other_than_one_hot, smoothed
from .comparing import agreement
from .explanation import scores_of
from .target import checked

STRONG = 7.0  # log-odds of a strong match, in nats


def log_odds(x: Any, motif: Any, background: Any = BACKGROUND, pseudocount: float = 0.001) -> Any:
    """ln P(letters | motif) - ln P(letters | background) of every window of the motif's width, in nats.

    A motif is a convolution kernel: its weights are the logarithms, and one-hot letters pick from them.
    x: one-hot sequences (N, 4, T), letters in the order A, C, G, T. motif: (w, 4), probabilities at each position, with
    no letter left impossible by the pseudocount, see `minidl.data.genomics.smoothed`. background: (4,), probabilities.
    Returns (N, T - w + 1) of x's type. Raises ValueError for an x that is not one-hot or shorter than the motif, and
    for a motif, background or pseudocount that is none.
    Source: deeplift:motif-criteria, deeplift:fig5
    """
    x = checked(x, "log_odds")
    refuse_other_than_one_hot(x, "log_odds")
    p, q = smoothed(motif, pseudocount), np.asarray(background, np.float64)
    if q.shape != (4,) or not ((q > 0).all() and abs(q.sum() - 1) <= 1e-6):
        raise ValueError(f"log_odds: background must be 4 numbers > 0 that sum to 1, got {q.tolist()}")
    if x.shape[2] < len(p):
        raise ValueError(f"log_odds: x has {x.shape[2]} positions, fewer than the motif's {len(p)}")
    kernel = xp(x).asarray(np.log(p / q).T.astype(x.dtype))
    return ops.conv2d(x[:, :, None], kernel[None, :, None])[:, 0, 0]


def best_matches(log_odds: Any, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The k windows of each sequence with the highest log-odds, best first; of equals the first in the sequence.

    log_odds: (N, windows). The text does not say whether matches may overlap; here they may, taken as they come.
    Returns (positions, values), NumPy, (N, k) each. Raises ValueError if there are fewer than k windows, and for
    numbers that are not finite.
    Source: deeplift:motif-criteria, deeplift:fig5
    """
    odds = scores_of(log_odds, "best_matches", "log_odds")
    if odds.ndim != 2 or not 1 <= k <= odds.shape[1]:
        raise ValueError(
            f"best_matches: k must lie between 1 and the number of windows of log_odds (N, windows), "
            f"got {k} for shape {odds.shape}"
        )
    positions = np.argsort(-odds, axis=1, kind="stable")[:, :k]
    return positions, np.take_along_axis(odds, positions, 1)


def importance(scores: Any, positions: Any, width: int) -> np.ndarray:
    """The total score of each match, over its letters and positions.

    scores: an Explanation, or scores (N, 4, T). positions: ints (N, k), where matches start. width: of the motif, in
    letters.
    Returns (N, k), NumPy, of the scores' type. Raises ValueError for other shapes, for scores that are not finite and
    for a match beyond the ends.
    Source: deeplift:motif-criteria, deeplift:fig5
    """
    scores, positions = scores_of(scores, "importance"), to_numpy(positions)
    if scores.ndim != 3 or positions.ndim != 2 or len(positions) != len(scores):
        raise ValueError(
            f"importance: scores must be (N, 4, T) and positions (N, k), got {scores.shape} and {positions.shape}"
        )
    if positions.size and not 0 <= positions.min() <= positions.max() <= scores.shape[2] - width:
        raise ValueError(
            f"importance: positions must lie in 0..{scores.shape[2] - width}, so that {width} letters fit, "
            f"got {positions.min()}..{positions.max()}"
        )
    windows = positions[:, :, None] + np.arange(width)
    return scores.sum(1)[np.arange(len(scores))[:, None, None], windows].sum(2)


def false_negatives(importance: Any, log_odds: Any, threshold: float = STRONG) -> float:
    """The proportion of strong matches to which no importance was given: a total score of 0 or less.

    importance, log_odds: of the same matches, any shape; the text takes TAL1's in sequences with both motifs, on the
    task that asks for both. threshold: matches with log-odds above it are strong, in nats.
    Raises ValueError if the shapes differ, a number is not finite or no match is strong.
    Source: deeplift:motif-criteria, deeplift:fig5
    """
    importance = scores_of(importance, "false_negatives", "importance")
    log_odds = scores_of(log_odds, "false_negatives", "log_odds")
    if importance.shape != log_odds.shape:
        raise ValueError(
            f"false_negatives: importance and log_odds must have one shape, got {importance.shape} and {log_odds.shape}"
        )
    strong = log_odds > threshold
    if not strong.any():
        raise ValueError(f"false_negatives: no match has log-odds above the threshold, {threshold}")
    return float((importance[strong] <= 0).mean())


def covered(sites: Sequence[Sequence[Site]], length: int) -> np.ndarray:
    """Which letters belong to the motif instances that were put in: booleans (N, length).

    sites: those of each sequence, as `minidl.data.genomics.simulate` has them. length: of the sequences, in letters.
    Raises ValueError if an instance does not lie in 0..length.
    Source: deeplift:genomics-simulation
    """
    inside = np.zeros((len(sites), length), bool)
    for row, of_row in zip(inside, sites, strict=True):
        for site in of_row:
            if not 0 <= site.start < site.stop <= length:
                raise ValueError(f"covered: sites must lie in 0..{length}, got {site.start}..{site.stop}")
            row[site.start : site.stop] = True
    return inside


@dataclass(frozen=True)
class Criteria:
    """What section 4.2 asks of the importance that strong matches to a motif are given; means over those matches.

    own_task: (1), on the task of this motif: high. other_task: (2), on the task of the other motif: near 0.
    rank_correlation: (3), Spearman's, of importance on the own task and log-odds: towards 1. both_task: (4), on the
    task that asks for both, in sequences with both: high. cooperativity: (5), `both_task` less the same in sequences
    with this motif alone: above 0. All but (3) are in the unit of the scores, so compare methods by shares of (1).
    Erratum: deeplift, section 4.2: printed "fails property (4) by failing to identify cooperativity"; right: property
    (5), in the text's own list.
    Source: deeplift:motif-criteria
    """

    own_task: float
    other_task: float
    rank_correlation: float
    both_task: float
    cooperativity: float


def criteria(importance: Any, log_odds: Any, kind: Any, motif: str, threshold: float = STRONG) -> Criteria:
    """The five desirable properties of section 4.2 as numbers, for the matches to one motif.

    The text states them in words. Matches by chance count like those that were put in, for a network cannot tell them
    apart; matches with log-odds above the threshold are strong.
    importance: (3, N, k), the total score of each match on each of `minidl.data.genomics.TASKS`. log_odds: (N, k), of
    the same matches, in nats. kind: (N,), places in KINDS. motif: a name in MOTIFS.
    Raises ValueError for another motif, for shapes that do not fit, for numbers that are not finite, and where
    sequences with both motifs, or with this one alone, have no strong match.
    Source: deeplift:motif-criteria
    """
    importance, kind = scores_of(importance, "criteria", "importance"), to_numpy(kind)
    log_odds = scores_of(log_odds, "criteria", "log_odds")
    if motif not in MOTIFS:
        raise ValueError(f"criteria: motif must be one of {', '.join(MOTIFS)}, got {motif!r}")
    shape = (len(TASKS), *log_odds.shape)
    if log_odds.ndim != 2 or importance.shape != shape or kind.shape != log_odds.shape[:1]:
        raise ValueError(
            f"criteria: importance must be ({len(TASKS)}, N, k), log_odds (N, k) and kind (N,), "
            f"got {importance.shape}, {log_odds.shape} and {kind.shape}"
        )
    strong = log_odds > threshold
    among = {name: strong & (kind == KINDS.index(name))[:, None] for name in ("both", motif)}
    for name, matches in among.items():
        if not matches.any():
            raise ValueError(f"criteria: no match in sequences of kind {name} has log-odds above {threshold}")
    (other,) = MOTIFS.keys() - {motif}
    both, own, other = (importance[TASKS.index(task)] for task in ("both", motif, other))
    return Criteria(
        own_task=float(own[strong].mean()),
        other_task=float(other[strong].mean()),
        rank_correlation=float(agreement(own[strong][None], log_odds[strong][None], "rank")[0]),
        both_task=float(both[among["both"]].mean()),
        cooperativity=float(both[among["both"]].mean() - both[among[motif]].mean()),
    )
