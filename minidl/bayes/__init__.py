"""Bayesian deep learning (Gal, chapter 3): gradients of expectations, and what a network does not know.

Imported at first use, name by name.
"""

import importlib
from typing import Any

_WHERE = {
    "estimators": (
        "Estimate", "characteristic_function", "characteristic_values", "estimate", "pathwise", "pathwise_values",
        "score_function", "score_values",
    ),
    "convolutions": ("masked_convolution",),
    "discrete": ("DiscreteEstimate", "score_bernoulli", "score_categorical"),
    "quadrature": ("Exact", "exact", "expectation"),
    "proposition": ("Proposition1", "proposition_1"),
    "variational": (
        "categorical_log_likelihood", "dropout_objective", "euclidean_error", "gaussian_log_likelihood",
        "minimise_divergence", "objective", "penalty", "quadratic_kl", "train_with_dropout",
    ),
    "kl": ("Sandwich", "bernoulli_kl", "bernoulli_kl_bounds", "discrete_kl", "gaussian_kl", "log_uniform_kl"),
    "scales": ("length_scale", "precision", "weight_decay"),
    "predict": ("mc_predict",),
    "regression": ("Candidate", "DropoutRegression", "Score", "dropout_regressions"),
    "selection": ("Search", "grid_search"),
    "uncertainty": (
        "dogs_and_cats", "linear_calibration", "most_informative", "mutual_information", "percentiles",
        "predictive_covariance", "predictive_entropy", "predictive_log_likelihood", "predictive_log_probability",
        "predictive_mean", "predictive_variance", "sample_labels", "second_moment", "variation_ratio",
    ),
}  # fmt: skip
_MODULE = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted([*_WHERE, *_MODULE])


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MODULE:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
