"""Shapley values by sampling orders, for more players than can be enumerated: every pixel of an image, for instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..backend import xp
from ..randomness import generator
from ..tape import Tensor
from .explanation import Explanation, finish
from .ledger import Ledger
from .perturbation import asked
from .target import Target, answers, matched

METHOD = "sampled_shapley"


def sampled_shapley(
    model: Callable[[Tensor], Tensor],
    x: Any,
    target: Target = None,
    *,
    reference: Any,
    orders: int,
    rng: Any,
    chunk: int | None = None,
) -> Explanation:
    """Each element's mean effect on the target over random orders in which the elements enter: scores = y - y0.

    model, x, target, chunk: as for `occlusion`; reference: as for `shapley`, whose values this estimates without bias.
    orders: so many are drawn from rng, a Generator or an int, the same for all rows, and each is also taken backwards:
    that makes effects of single elements and of pairs exact. The scores of every single order sum to y - y0, so the law
    says nothing of the error; two runs with other orders do. n elements take 2 orders (n + 1) answers a row.
    Raises TypeError and ValueError for a bad argument.
    Source: deeplift:shapley
    """
    if isinstance(orders, bool) or not isinstance(orders, (int, np.integer)) or orders < 1:
        raise ValueError(f"{METHOD}: orders must be an int of at least 1, got {orders!r}")
    rng, elements = generator(rng, METHOD), int(np.prod(np.shape(x)[1:]))
    drawn = (rng.permutation(elements) for _ in range(int(orders)))
    return over_orders(model, x, target, reference, (o for order in drawn for o in (order, order[::-1])), chunk)


def over_orders(
    model: Callable[[Tensor], Tensor], x: Any, target: Target, reference: Any, orders: Iterable[Any], chunk: int | None
) -> Explanation:
    """Each element's mean effect over these orders, each a permutation of the elements of a row."""
    x, ask, output = answers(model, x, target, METHOD)
    rest = matched(x, reference, "reference", METHOD).reshape(len(x), -1)
    total, ledger, count = xp(x).zeros_like(rest), Ledger(output), 0
    for order in orders:
        found = _entering(ask, x, rest, order, chunk)
        total[:, xp(x).asarray(order)] += (found[1:] - found[:-1]).T
        ledger.flow = xp(x).maximum(ledger.flow, abs(found).sum(0))
        count += 1
    nobody, everybody = found[0], found[-1]  # the same for every order, but for roundings
    return finish(
        METHOD, (total / count).reshape(x.shape), everybody, ledger,
        expected=everybody - nobody, reference_output=nobody,
    )  # fmt: skip


def _entering(ask: Callable[[Any], Any], x: Any, rest: Any, order: Any, chunk: int | None) -> Any:
    """The answers while the elements enter one by one: (elements + 1, N), from the reference to x."""
    outside = xp(x).asarray(order)

    def leave(variant: Any, k: int) -> None:
        variant.reshape(len(x), -1)[:, outside[k:]] = rest[:, outside[k:]]

    return asked(ask, x, len(order) + 1, leave, chunk, METHOD)
