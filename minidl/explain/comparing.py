"""Judging methods by comparing: do two explanations agree, and does one change when the model forgets what it learned?

Neither is in the six texts; the second is the cascading randomisation of Adebayo et al. (2018), Sanity Checks for
Saliency Maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from ..backend import to_numpy, xp
from ..nn import Module
from ..randomness import generator
from .heatmaps import normalise
from .target import Target

MEASURES = ("rank", "linear", "top")


def agreement(a: Any, b: Any, measure: str = "rank", *, share: float = 0.1) -> np.ndarray:
    """How far two explanations of the same inputs agree, row by row: (N,).

    a, b: Explanations, or scores (N, ...). measure: "rank", Spearman's correlation, of the ranks (ties have the mean
    of their ranks); "linear", Pearson's correlation, of the scores; both in [-1, 1]. Or "top", in [0, 1]: what the sets
    A and B of the elements with the largest |scores| have in common, |A and B| / sqrt(|A| |B|). share: the size of
    these sets, as a share of the elements, in (0, 1]; at least one element (ties: the first in memory order), and none
    whose score is 0, so that a set may be smaller.
    Scores that are all equal (for "top", in magnitude) rank nothing and agree with nothing, themselves included: 0.
    Raises ValueError for another measure or share, for shapes that differ, and for NaN or infinite scores.
    """
    of_a, of_b = _vectors({"a": a, "b": b}, measure, share, "agreement")
    return (of_a * of_b).sum(1)


def agreement_table(
    explanations: Mapping[str, Any], measure: str = "rank", *, share: float = 0.1
) -> tuple[list[str], np.ndarray]:
    """The mean agreement of every two of M explanations of the same inputs: their names, a symmetric matrix (M, M).

    explanations: {name: an Explanation, or scores (N, ...)}. measure, share and errors: as for `agreement`.
    """
    vectors = _vectors(explanations, measure, share, "agreement_table")
    return list(explanations), np.array([[(u * v).sum(1).mean() for v in vectors] for u in vectors])


def _vectors(explanations: Mapping[str, Any], measure: str, share: float, caller: str) -> list[np.ndarray]:
    """What is compared of each explanation: (N, D), rows of length 1, or of length 0 where nothing is ranked.

    The agreement of two rows is then their product, whatever the measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"{caller}: measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    if not 0 < share <= 1:
        raise ValueError(f"{caller}: share must lie in (0, 1], got {share!r}")
    scores = {name: to_numpy(getattr(e, "scores", e)).astype(np.float64) for name, e in explanations.items()}
    if len({s.shape for s in scores.values()}) > 1:
        came = ", ".join(f"{name} {s.shape}" for name, s in scores.items())
        raise ValueError(f"{caller}: explanations must have scores of one shape, got {came}")
    for name, s in scores.items():
        if not np.isfinite(s).all():
            raise ValueError(f"{caller}: the scores of {name} hold NaN or infinite values")
    rows = [s.reshape(len(s), -1) for s in scores.values()]
    if measure == "top":
        return [_top(r, share) for r in rows]
    return [_centred(average_ranks(r) if measure == "rank" else r) for r in rows]


def _centred(a: np.ndarray) -> np.ndarray:
    """Rows less their mean, of length 1: their products are correlations."""
    a = normalise(a)  # squares of tiny scores would be 0; equal ones become 1, whose mean is exact
    a = a - a.mean(1, keepdims=True)
    length = np.sqrt((a * a).sum(1, keepdims=True))
    return a / np.where(length == 0, 1, length)


def _top(a: np.ndarray, share: float) -> np.ndarray:
    """The elements of largest magnitude, marked by equal numbers, rows of length 1."""
    size = abs(a)
    ranked = np.argsort(-size, axis=1, kind="stable")[:, : max(1, round(share * a.shape[1]))]
    chosen = np.zeros(a.shape)
    np.put_along_axis(chosen, ranked, np.take_along_axis(size, ranked, 1) > 0, 1)
    chosen[size.max(1) == size.min(1)] = 0
    return chosen / np.sqrt(np.maximum(chosen.sum(1, keepdims=True), 1))


def average_ranks(a: np.ndarray) -> np.ndarray:
    """The rank of each element in its row, from 0; equal elements share the mean of their ranks.

    a: (N, D). Returns floats (N, D).
    """
    order = np.argsort(a, axis=1)
    ordered = np.take_along_axis(a, order, 1)
    step = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(a), 1), bool)
    at, end = np.arange(a.shape[1]), a.shape[1] - 1
    first = np.maximum.accumulate(np.where(np.hstack([edge, step]), at, 0), axis=1)
    last = np.minimum.accumulate(np.where(np.hstack([step, edge]), at, end)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(a.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, 1)
    return ranks


def randomise(model: Module, rng: Any) -> Iterator[tuple[str, Module]]:
    """Models that forget more and more of what they learned, from the output down: (path, model) for each layer.

    path: of the layer that was randomised last; all layers after it are randomised too. Each model is a copy of its
    own, the one passed in is not changed. Every parameter is drawn anew from a normal distribution with its own mean
    and standard deviation, so one that is the same everywhere, like a bias of zeros, stays; buffers stay as well.
    Layers are those modules that hold parameters themselves, the last defined first; parameters that several share are
    drawn with the first of these. rng: a Generator or an int.
    Raises TypeError if the model is no Module or rng is missing, ValueError if there is no parameter.
    """
    if not isinstance(model, Module):
        raise TypeError(f"randomise: model must be a Module, whose parameters can be drawn, got {type(model).__name__}")
    layers = _layers(model)
    if not layers:
        raise ValueError(f"randomise: the model, a {type(model).__name__}, has no parameters to draw")
    return _cascade(model, layers, generator(rng, "randomise"))


def _cascade(model: Module, layers: dict[str, list[str]], rng: np.random.Generator) -> Iterator[tuple[str, Module]]:
    for layer, paths in layers.items():
        model = deepcopy(model)
        parameters = model.parameters()
        for path in paths:
            old = parameters[path].data
            values = to_numpy(old)
            drawn = rng.normal(values.mean(), values.std(), values.shape).astype(values.dtype)
            old[...] = xp(old).asarray(drawn)
        yield layer, model


def _layers(model: Module) -> dict[str, list[str]]:
    """The paths of the parameters that each layer holds itself, from the output down: {path of layer: [paths]}."""
    path_of = {p: path for path, p in model.parameters().items()}
    layers, taken = {}, set()
    for layer, module in reversed(model.modules().items()):
        below = {p for child in module.children().values() for p in child.parameters().values()}
        own = [p for p in module.parameters().values() if p not in below and p not in taken]
        taken.update(own)
        if own:
            layers[layer] = [path_of[p] for p in own]
    return layers


def randomisation_check(
    method: Callable[[Module, Any, Target], Any],
    model: Module,
    x: Any,
    target: Target = None,
    *,
    rng: Any,
    measure: str = "rank",
    share: float = 0.1,
) -> dict[str, np.ndarray]:
    """How far a method's explanation still agrees with itself as the model is randomised from the output down.

    method: a function (model, x, target) to an Explanation or scores (N, ...). rng and errors: as for `randomise`;
    measure and share: as for `agreement`. Returns {path: agreement (N,)} in the order of `randomise`. A method that
    stays near 1 to the end does not show what the model learned.
    """
    explained = method(model, x, target)
    return {
        path: agreement(explained, method(randomised, x, target), measure, share=share)
        for path, randomised in randomise(model, rng)
    }
