"""Explaining one number of a model's output by the elements of its input: f(model, x, target, ...) -> Explanation.

By the law that they obey:
  scores + what biases and rules absorb = output        lrp
  scores = output - output of a reference               deeplift, shapley; integrated_gradients up to its steps,
                                                        taylor_decomposition up to its residuum
  no sum                                                saliency, gradient_times_input, deconvnet, guided_backprop,
                                                        grad_cam, guided_grad_cam, occlusion,
                                                        in_silico_mutagenesis, prediction_difference
"""

from . import erasing, heatmaps, rules
from .cam import class_map, grad_cam, guided_grad_cam
from .chunks import in_chunks
from .deeplift import deeplift
from .explanation import Explanation
from .gradients import deconvnet, gradient_times_input, guided_backprop, saliency
from .integrated import integrated_gradients
from .lrp import lrp

__all__ = [
    "Explanation", "class_map", "deconvnet", "deeplift", "erasing", "grad_cam", "gradient_times_input",
    "guided_backprop", "guided_grad_cam", "heatmaps", "in_chunks", "integrated_gradients", "lrp", "rules", "saliency",
]  # fmt: skip
