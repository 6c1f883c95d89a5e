"""When a law counts as kept: the residual against the largest sum of |signal| on the way."""

import numpy as np

ROUNDINGS = 64  # a sum of n terms errs by about sqrt(n) eps; the deepest drawn network adds fewer than 64^2 numbers


def assert_law(explanation):
    """Scores + absorbed = expected, up to the rounding of the largest signals met on the way."""
    eps = np.finfo(explanation.scores.dtype).eps
    assert np.isfinite(explanation.scores).all()
    worst = np.abs(explanation.residual) - ROUNDINGS * eps * explanation.flow
    assert (worst <= 0).all(), f"residual {explanation.residual} against flow {explanation.flow}"


def assert_equal_scores(actual, expected, flow):
    """Two sets of scores are equal up to the rounding of the signals behind them, row by row."""
    eps = np.finfo(actual.dtype).eps
    rows = np.abs(actual - expected).reshape(len(actual), -1).max(1)
    allowed = ROUNDINGS * eps * np.maximum(flow, np.finfo(actual.dtype).tiny)
    assert (rows <= allowed).all(), f"{rows} against flow {flow}"
