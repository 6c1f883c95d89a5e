"""Rules as data: what a linear operation does with relevance, what a non-linearity does with multipliers.

Relevance: basic, epsilon, alpha_beta, z_plus, gamma; for the layer that reads the input z_bounded, flat, w_squared.
Multipliers: rescale, reveal_cancel. `presets` has tables of them.
"""

from ..table import ANY, FIRST
from . import presets
from .inputs import flat, w_squared, z_bounded
from .linear import LinearRule
from .nonlinear import NonlinearityRule, rescale, reveal_cancel
from .relevance import alpha_beta, basic, epsilon, gamma, z_plus

__all__ = [
    "ANY", "FIRST", "LinearRule", "NonlinearityRule", "alpha_beta", "basic", "epsilon", "flat", "gamma", "presets",
    "rescale", "reveal_cancel", "w_squared", "z_bounded", "z_plus",
]  # fmt: skip
