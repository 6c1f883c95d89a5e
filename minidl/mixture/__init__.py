"""Gaussian mixtures, the EM algorithm that fits them, and the bound under the evidence that it climbs."""

from .em import Parameters, e_step, log_evidence, log_joint, m_step
from .evidence import Bound, elbo, entropy, expected_complete, kl
from .model import GaussianMixture
from .start import k_means

__all__ = [
    "Bound",
    "GaussianMixture",
    "Parameters",
    "e_step",
    "elbo",
    "entropy",
    "expected_complete",
    "k_means",
    "kl",
    "log_evidence",
    "log_joint",
    "m_step",
]
