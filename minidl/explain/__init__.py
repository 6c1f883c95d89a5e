"""Explaining one number of a model's output by the elements of its input: f(model, x, target, ...) -> Explanation.

By the law that they obey:
  scores + what biases and rules absorb = output        lrp
  scores = output - output of a reference               deeplift, shapley, sampled_shapley; integrated_gradients up to
                                                        its steps, taylor_decomposition up to its residuum
  no sum                                                saliency, gradient_times_input, deconvnet, guided_backprop,
                                                        grad_cam, guided_grad_cam, occlusion,
                                                        in_silico_mutagenesis, prediction_difference
"""

from . import comparing, erasing, heatmaps, judging, letters, motifs, references, regions, rules, strips
from .cam import class_map, grad_cam, guided_grad_cam
from .chunks import in_chunks
from .deeplift import deeplift
from .explanation import Explanation
from .gradients import deconvnet, gradient_times_input, guided_backprop, saliency
from .integrated import integrated_gradients
from .lrp import lrp
from .perturbation import in_silico_mutagenesis, occlusion, prediction_difference
from .sampled import sampled_shapley
from .shapley import shapley
from .taylor import above_half, bisection, nearest_root, taylor_decomposition

__all__ = [
    "Explanation", "above_half", "bisection", "class_map", "comparing", "deconvnet", "deeplift", "erasing",
    "grad_cam", "gradient_times_input", "guided_backprop", "guided_grad_cam", "heatmaps", "in_chunks",
    "in_silico_mutagenesis", "integrated_gradients", "judging", "letters", "lrp", "motifs", "nearest_root",
    "occlusion", "prediction_difference", "references", "regions", "rules", "saliency", "sampled_shapley", "shapley",
    "strips", "taylor_decomposition",
]  # fmt: skip
