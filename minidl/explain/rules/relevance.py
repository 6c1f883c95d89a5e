"""Relevance rules by what they count as a contribution: in proportion, or positive and negative ones apart."""

from __future__ import annotations

from dataclasses import dataclass

from ...ops.families import split_weights
from ...ops.signals import Pair, split
from .linear import LinearRule, Side, checked_bias, refuse_no_number


@dataclass(frozen=True)
class Epsilon(LinearRule):
    """All contributions z_ij = x_i w_ij alike. For R_j > 0 and z_j > 0 a larger positive z_ij gets no smaller share.

    Source: lrp:ordering
    """

    eps: float = 0.0
    bias: str = "absorb"

    def sides(self, r, z, x, W, bias):
        return [Side(r, [(x, W)], bias, z)]


@dataclass(frozen=True)
class AlphaBeta(LinearRule):
    """Share alpha to the positive contributions, share beta to the negative ones.

    Where a unit has no positive (negative) contribution at all, its share alpha R_j (beta R_j) has nowhere to go and
    is accounted for as undefined; eq 61 presumes that both sums are there.
    """

    alpha: float
    beta: float
    bias: str = "absorb"

    def sides(self, r, z, x, W, bias):
        positive, negative = by_sign(x, W)
        b = halves(bias)
        sides = [Side(self.alpha * r, positive, b.pos)] if self.alpha else []
        return sides + ([Side(self.beta * r, negative, b.neg)] if self.beta else [])


@dataclass(frozen=True)
class Gamma(LinearRule):
    """Contributions of the sign of their unit's total count 1 + gamma times."""

    gamma: float
    bias: str = "absorb"

    def sides(self, r, z, x, W, bias):
        positive, negative = by_sign(x, W)
        b, sides = halves(bias), []
        for units, favoured, favoured_bias in ((z >= 0, positive, b.pos), (z < 0, negative, b.neg)):
            if units.any():
                terms = [(x, W), *((self.gamma * a, V) for a, V in favoured)]
                sides.append(Side(r * units, terms, None if bias is None else bias + self.gamma * favoured_bias))
        return sides


def by_sign(x, W):
    """The terms of all positive and of all negative contributions; behind a ReLU half of them are zero and left out."""
    (P, N), (up, down) = split_weights(W), (split(x).pos, split(x).neg)
    if not (x < 0).any():
        return [(x, P)], [(x, N)]
    return [(up, P), (down, N)], [(up, N), (down, P)]


def halves(bias):
    """The positive and the negative part of a bias, None for None."""
    return Pair(None, None) if bias is None else split(bias)


def basic(bias: str = "absorb") -> LinearRule:
    """Proportional shares R_{i<-j} = z_ij / z_j R_j; the bias takes b_j / z_j R_j.

    bias: "absorb" (eq 57), "redistribute" evenly over the inputs that the unit reads, or "ignore", which leaves the
    bias out of z_j. For R_j > 0 and a positive total, a larger positive contribution gets no smaller message.
    Erratum: lrp, eqs 55 and 57: printed that conservation must hold, then broken by b; right with what b absorbs.
    Erratum: lrp, eq 56: undefined where z_j = 0; a relevance that meets it is accounted for as undefined.
    Source: lrp:eq56, lrp:eq50
    """
    return Epsilon(0.0, checked_bias(bias))


def epsilon(eps: float = 1e-6, bias: str = "absorb") -> LinearRule:
    """Proportional shares with a stabiliser: z_ij / (z_j + eps sign(z_j)) R_j, sign(0) = +1; eps absorbs its share.

    eps: greater than 0, in the units of z_j. bias as in `basic`.
    Source: lrp:eq58
    """
    refuse_no_number("epsilon", eps=eps)
    if not 0 < eps < float("inf"):
        raise ValueError(
            f"epsilon: eps must be greater than 0 and finite, got {eps!r}; without a stabiliser use basic()"
        )
    return Epsilon(float(eps), checked_bias(bias))


def alpha_beta(
    alpha: float = 0.5, beta: float | None = None, bias: str = "absorb", *, minus_beta: float | None = None
) -> LinearRule:
    """alpha times the positive contributions' proportions plus beta times the negative ones'; alpha + beta = 1.

    beta: 1 - alpha if not given; the text's example is (1/2, 1/2), (2, -1) is common. minus_beta: the beta of texts and
    libraries that write alpha - beta = 1; alpha_beta(2, minus_beta=1) is alpha_beta(2, -1). bias as in `basic`.
    Erratum: lrp, eqs 60 and 61: presume that z+ and z- are both there; a unit that lacks one passes on only the other's
    share, and the rest is accounted for as undefined.
    Source: lrp:eq60
    """
    if beta is not None and minus_beta is not None:
        raise ValueError(f"alpha_beta: give beta or minus_beta, got both, {beta} and {minus_beta}")
    if minus_beta is not None:
        refuse_no_number("alpha_beta", minus_beta=minus_beta)
        beta = -minus_beta
    refuse_no_number("alpha_beta", alpha=alpha)
    beta = 1 - alpha if beta is None else beta
    refuse_no_number("alpha_beta", beta=beta)
    if not abs(alpha + beta - 1) <= 1e-12:
        raise ValueError(
            f"alpha_beta: alpha + beta must be 1, got {alpha} + {beta} = {alpha + beta}; "
            "where a text writes alpha - beta = 1, pass its beta as minus_beta"
        )
    return AlphaBeta(float(alpha), float(beta), checked_bias(bias))


def z_plus(bias: str = "ignore") -> LinearRule:
    """Positive contributions only: z+_ij / z+_j R_j. With bias="absorb" it is alpha_beta(1, 0).

    A unit without positive contributions has nowhere to send its relevance, which is accounted for as undefined.
    """
    return AlphaBeta(1.0, 0.0, checked_bias(bias))


def gamma(gamma: float = 0.25, bias: str = "absorb") -> LinearRule:
    """(z_ij + gamma z*_ij) / (z_j + gamma z*_j) R_j, z* the contributions of the sign of z_j, by either sign of input.

    gamma: greater than 0. Towards 0 it is the basic rule, towards infinity z+ for units above 0 and the like with z-
    for those below. No message is larger than (1 + gamma) / gamma R_j, so it needs no stabiliser. bias as in `basic`.
    """
    refuse_no_number("gamma", gamma=gamma)
    if not 0 < gamma < float("inf"):
        raise ValueError(f"gamma: gamma must be greater than 0 and finite, got {gamma!r}; for 0 use basic()")
    return Gamma(float(gamma), checked_bias(bias))
