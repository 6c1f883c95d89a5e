"""Exact Shapley values: what each part of the input adds to the output, averaged over every order in which parts enter.

What DeepLIFT approximates in one backward pass; exact values take 2^n answers of the model for n players.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import numpy as np

from ..backend import to_numpy, xp
from ..tape import Tensor, raw
from .explanation import Explanation, finish
from .ledger import Ledger
from .perturbation import chunk_for
from .target import Target, answers, matched, refuse_nonfinite

PLAYERS = 16  # 65,536 answers for each row


def shapley(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    reference: Any,
    players: Any = None,
    chunk: int | None = None,
) -> Explanation:
    """Each player's mean effect on the target over all orders in which the players take their values: scores = y - y0.

    model, x, target: as for `occlusion`. reference: what a player has before it enters, a number or an array that
    broadcasts to x's shape. players: an integer label for each element of a row, or labels that broadcast to a row;
    elements with one label are one player, enter together and get equal shares of its value. If not given, every
    element is a player. n players, at most 16, take 2^n answers a row. chunk: how many of these coalitions the model is
    asked about at once, as in `occlusion`.
    Raises TypeError and ValueError for a bad argument.
    Source: deeplift:shapley
    """
    x, ask, output = answers(model, x, target, "shapley")
    reference = matched(x, reference, "reference", "shapley")
    labels, sizes = _players(x.shape[1:], players)
    m, n, size = xp(x), len(sizes), chunk_for(x, chunk, "shapley")
    values, ledger = 0, Ledger(output)
    for start in range(0, 2**n, size):
        inside = coalitions(n, start, min(start + size, 2**n))
        variants = m.where(m.asarray(inside[:, labels])[:, None], x, reference)
        found = ask(variants.reshape(-1, *x.shape[1:])).reshape(len(inside), -1)
        refuse_nonfinite(found, "shapley", " for a variant of x")
        weights = m.asarray(weights_in(inside).astype(found.dtype))
        values = values + weights @ found
        ledger.flow = ledger.flow + abs(weights).sum(0) @ abs(found)
        if start == 0:
            nobody = found[0]
    everybody = found[-1]  # `output`, but for roundings that depend on how many rows are asked about
    shares = values.T / m.asarray(sizes.astype(output.dtype))
    return finish(
        "shapley", shares[:, m.asarray(labels)], everybody, ledger,
        expected=everybody - nobody, reference_output=nobody,
    )  # fmt: skip


def coalitions(n: int, start: int, stop: int) -> np.ndarray:
    """Coalitions start to stop of n players, as the binary digits of their numbers: bool (stop - start, n)."""
    return (np.arange(start, stop)[:, None] >> np.arange(n)) % 2 == 1


def weights_in(inside: np.ndarray) -> np.ndarray:
    """The weight of each coalition's answer in each player's value: (n, coalitions).

    A player's value is the sum of |S|! (n - |S| - 1)! / n! (v(S with it) - v(S)) over the coalitions S without it. So a
    coalition of s counts with 1 / (s comb(n, s)) for its members, and minus 1 / ((n - s) comb(n, s)) for the others.
    """
    n = inside.shape[1]
    member = np.array([0.0, *(1 / (s * comb(n, s)) for s in range(1, n + 1))])
    count = inside.sum(1)
    return np.where(inside.T, member[count], -member[n - count])


def _players(row: tuple[int, ...], players: Any) -> tuple[np.ndarray, np.ndarray]:
    """The player of each element of a row, counted from 0, and how many elements each player has."""
    labels = np.arange(np.prod(row, dtype=int)).reshape(row) if players is None else to_numpy(raw(players))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"shapley: players must be integer labels, got {labels.dtype}")
    try:
        labels = np.broadcast_to(labels, row)
    except ValueError:
        raise ValueError(
            f"shapley: players must have the shape of a row of x, {row}, or broadcast to it; got {labels.shape}"
        ) from None
    _, number, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) > PLAYERS:
        raise ValueError(
            f"shapley: {len(sizes)} players have 2^{len(sizes)} coalitions, which is too many above {PLAYERS}; give "
            "players=, labels by which elements enter together, such as patches of an image"
        )
    return number.reshape(row), sizes
