"""Explaining one number of a model's output by the elements of its input: f(model, x, target, ...) -> Explanation."""

from . import erasing, heatmaps, rules
from .deeplift import deeplift
from .explanation import Explanation
from .gradients import gradient_times_input, saliency
from .lrp import lrp

__all__ = ["Explanation", "deeplift", "erasing", "gradient_times_input", "heatmaps", "lrp", "rules", "saliency"]
