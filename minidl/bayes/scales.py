"""The three quantities that the KL condition ties together: prior length-scale, weight decay, model precision.

Where the Kullback-Leibler divergence of dropout's weights from the prior N(0, I / l^2) is to be N tau times the penalty
lambda ||M||^2 (eq 3.12), these must agree: 2 N tau lambda = c l^2. The factor c depends on conventions that the text
leaves open.

| masks | loss per data point | c |
|---|---|---|
| "01": dropped or not | "half": 1/2 (y - f)^2, summed over outputs | 1 - p |
| "scaled": divided by 1 - p | "half" | 1 / (1 - p) |
| either | "mse": (y - f)^2, averaged over D outputs | the above times 2 / D |

lambda multiplies the sum of squares itself; the optimisers' weight_decay, which is added to the gradient times the
weight, is 2 lambda. A layer without noise on its weights has p = 0, and so has a bias; additive noise too, since its
variance does not depend on M.
"""

from __future__ import annotations

from math import sqrt
from numbers import Integral
from typing import Any

from . import door

__all__ = ["length_scale", "precision", "weight_decay"]


def length_scale(
    weight_decay: float, p: float, tau: float, n: int, *, masks: str = "01", loss: str = "half", outputs: int = 1
) -> float:
    """The prior length-scale l of a layer, in the unit of its inputs: the root of 2 N tau lambda / c.

    weight_decay: lambda, above 0. p: the probability of dropping. tau: the model precision. n: the number of data
    points. masks, loss: see the table above. outputs: D, how many outputs "mse" averages over.
    Raises ValueError for numbers outside their ranges and for other conventions.
    Erratum: gal, eqs 3.13, 3.14 and 3.17: printed without saying so for masks of 0 and 1 and a loss with the 1/2;
    right: for scaled masks 1 / (1 - p) stands for 1 - p, and without the 1/2 the factor 2 goes, as footnote 7 says.
    Source: gal:eq3.13, gal:footnote7, gal:remark-length-scale
    """
    _refuse("length_scale", n, weight_decay=weight_decay, tau=tau)
    return sqrt(2 * n * tau * weight_decay / _factor("length_scale", p, masks, loss, outputs))


def weight_decay(
    length_scale: float, p: float, tau: float, n: int, *, masks: str = "01", loss: str = "half", outputs: int = 1
) -> float:
    """The weight decay lambda of a layer: c l^2 / (2 N tau). Arguments and errors as for `length_scale`.

    A short length-scale with a high precision leaves the weights free, a long one with a low precision holds them.
    Source: gal:eq3.14, gal:footnote7
    """
    _refuse("weight_decay", n, length_scale=length_scale, tau=tau)
    return _factor("weight_decay", p, masks, loss, outputs) * length_scale**2 / (2 * n * tau)


def precision(
    weight_decay: float,
    length_scale: float,
    p: float,
    n: int,
    *,
    masks: str = "01",
    loss: str = "half",
    outputs: int = 1,
) -> float:
    """The model precision tau: c l^2 / (2 N lambda). Arguments and errors as for `length_scale`.

    Each layer with a lambda, an l and a p of its own gives a tau: a model has one, so the layers' must agree.
    Erratum: gal, eq 3.17: printed (1 - p) l_i^2 / (2 N lambda_i); right: p_i, each layer's own.
    Source: gal:eq3.17, gal:footnote7
    """
    _refuse("precision", n, weight_decay=weight_decay, length_scale=length_scale)
    return _factor("precision", p, masks, loss, outputs) * length_scale**2 / (2 * n * weight_decay)


def _factor(caller: str, p: Any, masks: Any, loss: Any, outputs: Any) -> float:
    """c of the table."""
    door.dropping(caller, p, masks)
    if loss not in ("half", "mse"):
        raise ValueError(f'{caller}: loss must be "half" or "mse", got {loss!r}')
    if not isinstance(outputs, Integral) or outputs < 1 or (loss == "half" and outputs != 1):
        raise ValueError(f'{caller}: outputs, which "mse" averages over, must be an int of at least 1, got {outputs!r}')
    c = 1 - p if masks == "01" else 1 / (1 - p)
    return c * 2 / outputs if loss == "mse" else c


def _refuse(caller: str, n: Any, **numbers: Any) -> None:
    """ValueError unless n is a number of data points and the others are finite and above 0."""
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{caller}: n, the number of data points, must be an int of at least 1, got {n!r}")
    door.above_zero(caller, **numbers)
