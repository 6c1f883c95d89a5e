"""Word embeddings, and the dropout that drops words by type rather than by token."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend, ops
from . import door
from .initialise import weights
from .module import Module
from .noise import bernoulli

__all__ = ["Embedding", "occurring"]


class Embedding(Module):
    """Rows of a table: integer ids of any shape to ids.shape + (dim,). W (n_types, dim).

    p: the probability of DROPPING a type, in [0, 1). With rng the rows of W that are dropped are 0 for a whole sequence
    (the last axis of the ids; the axes before it count sequences): a word goes or stays wherever it stands in it.
    scaled: as for Dropout. Only types that occur are drawn for, at most as many as a sequence is long, however many
    there are; words are looked up first, and zeroed then.
    Raises TypeError if the ids are not integers, ValueError if one lies outside 0..n_types - 1 or p outside [0, 1).
    Source: gal:embedding-dropout
    """

    settings = ("n_types", "dim", "p", "scaled")

    def __init__(
        self,
        n_types: int,
        dim: int,
        p: float = 0.0,
        scaled: bool = True,
        *,
        rng: Any = 0,
        init: str = "glorot_uniform",
        dtype: Any = "float32",
    ):
        door.positive(self, n_types=n_types, dim=dim)
        self.n_types, self.dim = n_types, dim
        self.p, self.scaled = door.probability(self, p), bool(scaled)
        self.W = weights((n_types, dim), n_types, dim, init, rng, dtype, "Embedding")

    def forward(self, x, rng=None):
        if x.dtype.kind not in "iu":
            raise TypeError(f"{self.where()} expects integer ids, got {x.dtype}")
        if x.size and (int(x.min()) < 0 or int(x.max()) >= self.n_types):
            raise ValueError(f"{self.where()} expects ids in 0..{self.n_types - 1}, got {int(x.min())}..{int(x.max())}")
        y = ops.embedding(x, self.W)
        if self.p == 0 or x.size == 0 or (rng is None and self.scaled):
            return y
        if rng is None:
            return y * (1 - self.p)
        which = occurring(backend.to_numpy(x).reshape(-1, x.shape[-1] if x.ndim else 1))
        kept = bernoulli(rng, (len(which), int(which.max()) + 1), self.p, self.scaled, self.W)
        kept = backend.xp(kept).take_along_axis(kept, backend.xp(kept).asarray(which), 1)
        return ops.multiply(y, kept.reshape(*x.shape, 1))


def occurring(ids: np.ndarray) -> np.ndarray:
    """The types of each row, numbered from 0 in the order of their ids: for each place the number of its type."""
    order = ids.argsort(1)
    ordered = np.take_along_axis(ids, order, 1)
    numbers = np.zeros(ids.shape, np.intp)
    numbers[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(1)
    which = np.empty_like(numbers)
    np.put_along_axis(which, order, numbers, 1)
    return which
