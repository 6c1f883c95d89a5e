"""The evidence taken apart: for any q, ln P(X) = F(q) + KL(q || posterior).

F, the free energy, is a bound under the evidence because no KL divergence is negative (ELBO, evidence lower bound).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..backend import xp
from ..ops import logsumexp
from . import door
from .em import log_joint, log_of


class Bound(NamedTuple):
    """free_energy + kl = log_evidence, in nats, summed over the rows."""

    free_energy: float
    kl: float
    log_evidence: float

    def __str__(self) -> str:
        residual = self.free_energy + self.kl - self.log_evidence
        return (
            f"free energy {self.free_energy:.6g} + KL {self.kl:.6g} = log evidence {self.log_evidence:.6g} "
            f"(residual {residual:.0e})"
        )


def elbo(q: Any, x: Any, mixture: Any) -> Bound:
    """The free energy F(q, omega) of any q, its distance from the posterior, and the log evidence L(omega).

    F = G + H = sum_{i,y} q_{i,y} ln (P[X = x_i, Y = y] / q_{i,y}), L = sum_i ln P[X = x_i], and
    KL = sum_{i,y} q_{i,y} ln (q_{i,y} / P[Y = y | x_i]). Each is computed by its own formula, and they add up. So
    F <= L, which is Jensen's inequality, and F = L where q is the posterior, as the E-step makes it.

    q: (N, K), rows that sum to 1 (zeros allowed: 0 ln 0 = 0). x: floats (N, d). mixture: a GaussianMixture or
    Parameters. Returns a Bound of floats, in nats. Where q is above 0 and the posterior 0 (a Gaussian of weight 0), F
    is minus infinity and KL infinity.
    Raises TypeError and ValueError for a bad argument, ValueError for a singular covariance.
    Erratum: em, one slide: printed F(g, omega); right: F(q, omega). X^l, and once X', is what is hidden: y.
    Source: em:free-energy, em:decomposition, em:elbo, em:jensen
    """
    joint, q = _joint(q, x, mixture, "elbo")
    evidence = logsumexp(joint, 1)
    free_energy = (_expected(q, joint) - _expected(q, log_of(q))).sum()
    divergence = _kl(q, joint - evidence[:, None]).sum()
    return Bound(float(free_energy), float(divergence), float(evidence.sum()))


def expected_complete(q: Any, x: Any, mixture: Any) -> float:
    """G(q, omega) = sum_{i,y} q_{i,y} ln P[X = x_i, Y = y], the expected log likelihood of complete data, in nats.

    Arguments and errors as for `elbo`. The M-step makes it largest in omega.
    Source: em:expected-complete
    """
    joint, q = _joint(q, x, mixture, "expected_complete")
    return float(_expected(q, joint).sum())


def entropy(q: Any) -> Any:
    """H(q) = -sum_y q_y ln q_y over the last axis, with 0 ln 0 = 0: (..., K) to (...), in nats.

    Raises TypeError and ValueError unless q holds floats that are at least 0 and sum to 1.
    Source: em:free-energy
    """
    q = door.probabilities(q, "entropy", "q")
    return -_expected(q, log_of(q))


def kl(p: Any, q: Any) -> Any:
    """KL(p || q) = sum_y p_y ln (p_y / q_y) = -sum_y p_y ln (q_y / p_y) over the last axis: (..., K) to (...), in nats.

    Never below 0, and 0 for equal distributions only; 0 ln 0 = 0, and infinity where q is 0 and p is not.
    Raises TypeError and ValueError unless both hold floats that are at least 0 and sum to 1, in one shape.
    Erratum: em, KL divergence: printed for p > 0 and q > 0; right without: p = 0 adds nothing, q = 0 < p is infinity.
    Source: em:kl, em:kl-nonnegative
    """
    p, q = door.probabilities(p, "kl", "p"), door.probabilities(q, "kl", "q")
    if p.shape != q.shape:
        raise ValueError(f"kl: p and q must have one shape, got {p.shape} and {q.shape}")
    return _kl(p, log_of(q))


def _joint(q: Any, x: Any, mixture: Any, caller: str) -> tuple[Any, Any]:
    """ln P[X = x_i, Y = y] and q, both (N, K) and checked."""
    x, omega = door.rows_for(x, mixture, caller)
    q = door.responsibilities(q, x, len(omega.weights), caller)
    return log_joint(x, omega), q


def _expected(q: Any, log_p: Any) -> Any:
    """sum_y q_y ln p_y, where what has q = 0 adds nothing."""
    return (q * xp(q).where(q > 0, log_p, 0)).sum(-1)


def _kl(p: Any, log_q: Any) -> Any:
    m = xp(p)
    ratio = m.where(p > 0, log_of(p), 0) - m.where(p > 0, log_q, 0)
    return m.maximum((p * ratio).sum(-1), 0)  # rounding can lead below 0
