"""The account of a pass: every absorbed share is entered once, in its own row."""

import numpy as np
import pytest

from minidl import ops
from minidl.explain import lrp
from minidl.explain.rules import basic


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("join", [ops.stack, ops.concat])
def test_a_constant_joined_to_the_signal_absorbs_its_share_once(n, join):
    constant = np.arange(1.0, 1 + 3 * n).reshape(n, 3)
    weights = np.ones((6, 1))
    result = lrp(lambda x: ops.affine(ops.flatten(join([x, constant], 1)), weights), np.ones((n, 3)), 0, rules=basic())
    np.testing.assert_array_equal(result.absorbed, constant.sum(1))
    np.testing.assert_array_equal(result.residual, np.zeros(n))
