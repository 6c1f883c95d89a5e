"""Tables of rules that serve a kind of network."""

from __future__ import annotations

from ...nn import Conv1d, Conv2d, Dense
from ..table import ANY, FIRST
from .inputs import flat, z_bounded
from .linear import LinearRule
from .nonlinear import rescale, reveal_cancel
from .relevance import epsilon, gamma


def convolutional(
    first: LinearRule | None = None, middle: LinearRule | None = None, top: LinearRule | None = None
) -> tuple:
    """Relevance in a network of convolutions below dense layers, by three rules from the input to the top.

    first: of the layer that reads the input, flat() if not given; z_bounded(low, high) where pixels have bounds.
    middle: of the other convolutions, gamma(0.25); alpha_beta(2, -1) is common. top: of all else, epsilon(1e-6).
    """
    middle = gamma(0.25) if middle is None else middle
    return (
        (FIRST, flat() if first is None else first),
        (Conv2d, middle),
        (Conv1d, middle),
        (ANY, epsilon(1e-6) if top is None else top),
    )


def bounded(low: float = 0.0, high: float = 1.0) -> tuple:
    """`convolutional` for pixels between two bounds."""
    return convolutional(first=z_bounded(low, high))


def dense_reveal_cancel() -> tuple:
    """Multipliers: RevealCancel behind dense layers, Rescale behind convolutions, where it keeps noise out.

    Source: deeplift:variants
    """
    return (Conv2d, rescale()), (Conv1d, rescale()), (Dense, reveal_cancel()), (ANY, rescale())
